"""The comparison of models as a picture. Knows numbers and names alone."""

from pathlib import Path

from training.tracking.sink import Comparison

_METRICS_MAX = 30


def draw(names: tuple[str, ...], metrics: dict[str, tuple[float | None, ...]], path: Path) -> None:
    """Bars for each metric, one for each model; writes a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = list(metrics.items())[:_METRICS_MAX]
    figure = Figure(figsize=(8, 1.5 + 1.1 * len(shown)), layout="constrained")
    FigureCanvasAgg(figure)
    for place, (metric, values) in enumerate(shown, 1):
        axes = figure.add_subplot(len(shown), 1, place)
        bars = axes.barh(list(names), [value or 0.0 for value in values], color="#4477aa")
        axes.bar_label(bars, ["none" if v is None else f"{v:.4g}" for v in values], padding=3)
        axes.set_title(metric, loc="left", fontsize=9)
        axes.invert_yaxis()
        axes.margins(x=0.15)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=100)


def compare(folder: Path, measured: dict[str, dict[str, float]]) -> Comparison:
    """The table of what was measured, by model, with its picture in a folder."""
    names = tuple(measured)
    metrics = {
        metric: tuple(measured[name].get(metric) for name in names)
        for metric in dict.fromkeys(metric for found in measured.values() for metric in found)
    }
    path = folder / "comparison.png"
    draw(names, metrics, path)
    return Comparison(names, metrics, path)
