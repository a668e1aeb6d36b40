"""Measures a job's model and those it is compared with, and tells whoever keeps such numbers.

Knows the tasks' frame; the measuring itself is in training.measuring.
"""

from pathlib import Path

from training.errors import JobFailure, Unavailable
from training.tasks.bases import bring, resolve_version
from training.tasks.data import bring_rows
from training.tasks.registry import open_registry
from training.tasks.task import Json, Task
from training.tracking.tracker import Tracker

_HARNESS_MAX = 128
"""Most numbers of the harness that are kept: a version's evidence has its bounds."""
CANDIDATE, CHAMPION, BASE = "candidate", "champion", "base"


def others(task: Task, model: str, champion: int, base: Json | None) -> dict[str, Json]:
    """Who a candidate is compared with: its model's champion, and the base where it is another."""
    found: dict[str, Json] = {}
    if champion:
        found[CHAMPION] = resolve_version(open_registry(task), model, str(champion))
    if base and base["digest"] != found.get(CHAMPION, {}).get("digest"):
        found[BASE] = base
    return found


def measure_all(
    task: Task,
    candidate: Path,
    others: dict[str, Json],
    digest: str,
    tracker: Tracker,
    begin: float = 0.0,
) -> Json:
    """Measures all of them on the stored rows with this digest; returns the candidate's metrics.

    `begin` is the share of the task that is done before, from 0 to 1.
    """
    from training.measuring.measure import measure
    from training.tracking.picture import compare

    rows = bring_rows(task, digest, "held-out")
    folders = {CANDIDATE: candidate} | {name: bring(task, other) for name, other in others.items()}
    measured: dict[str, dict[str, float]] = {}
    for place, (name, folder) in enumerate(folders.items()):

        def told(share: float, place: int = place, name: str = name) -> None:
            done = (place + share) / len(folders)
            task.progress(begin + (1 - begin) * done, f"Measuring the {name}")

        found = measure(folder, rows, task.settings.threads, told)
        measured[name] = found.metrics
        task.reporter.line(f"{name}: " + _words(found.metrics))
        for question, right, given in found.wrong[:5] if name == CANDIDATE else ():
            task.reporter.line(f"  wrong: {question!r}: {given!r}, not {right!r}")
    measured[CANDIDATE] |= dict(list(_harness(task, candidate).items())[:_HARNESS_MAX])
    task.reporter.metrics(0, measured[CANDIDATE])
    tracker.metrics(0, measured[CANDIDATE])
    tracker.comparison(compare(task.folder, measured | _remembered(task, others)))
    if CHAMPION in others:
        best = {f"{CHAMPION}.{name}": value for name, value in measured[CHAMPION].items()}
        task.reporter.metrics(0, best)
        tell_registry(task, others[CHAMPION], digest, measured[CHAMPION])
    return {"metrics": measured[CANDIDATE], "measured": measured}


def _remembered(task: Task, others: dict[str, Json]) -> dict[str, dict[str, float]]:
    """What W&B keeps of the champion's own evaluation, to show beside today's."""
    from training.tracking.wandb_reader import read_summary

    run = others.get(CHAMPION, {}).get("wandb_run")
    if not run:
        return {}
    found = read_summary(task.settings, run)
    metrics = {name: value for name, value in found.items() if name.startswith("eval.")}
    return {"champion, as in W&B": metrics} if metrics else {}


def _harness(task: Task, folder: Path) -> dict[str, float]:
    names = list(task.conf.get("harness_tasks") or ())
    if not names:
        return {}
    from training.measuring.harness import run_harness

    metrics, left_out = run_harness(folder, names, task.settings.threads)
    for name, why in left_out.items():
        task.reporter.line(f"left out {name}: {why}")
    return metrics


def tell_registry(task: Task, champion: Json, digest: str, metrics: dict[str, float]) -> None:
    """Has the champion's evidence say how it does on the same rows, so that gates compare."""
    from parley.registry.v1 import registry_pb2 as pb

    request = pb.RecordEvaluationRequest(
        model=champion["name"],
        number=champion["number"],
        evaluation_digest=digest,
        metrics=metrics,
        request_id=task.request_id("record"),
    )
    try:
        open_registry(task).ask("RecordEvaluation", request)
    except (JobFailure, Unavailable) as error:
        # The gate will say what it lacks.
        task.reporter.line(f"the champion's metrics were not recorded: {error}")


def _words(metrics: dict[str, float]) -> str:
    shown = {name: value for name, value in metrics.items() if "category" not in name}
    return ", ".join(f"{name} {value:.4g}" for name, value in shown.items())
