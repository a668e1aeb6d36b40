"""Tasks of lm-evaluation-harness, for those whose data are on this machine.

Knows folders of models and names of tasks; a task of one's own is a YAML file named by its path.
"""

import logging
import math
from pathlib import Path
from typing import Any

_LIMIT = 500
"""Most examples of a task that are asked."""
_REASON_CHARACTERS_MAX = 200


def run_harness(
    folder: Path, names: list[str], threads: int
) -> tuple[dict[str, float], dict[str, str]]:
    """Metrics as harness.TASK.METRIC, and for each task that was left out the reason."""
    import torch
    from lm_eval.models.huggingface import HFLM

    torch.set_num_threads(threads)
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    model = HFLM(
        pretrained=str(folder), device="cpu", dtype="float32", batch_size=8, trust_remote_code=False
    )
    metrics: dict[str, float] = {}
    left_out: dict[str, str] = {}
    for name in names:
        try:
            metrics |= _run(model, name)
        except Exception as error:
            # Tasks are the library's or the user's: they fail in every way when data are absent.
            words = f"{type(error).__name__}: {error}"
            left_out[name] = words.splitlines()[0][:_REASON_CHARACTERS_MAX]
    return metrics, left_out


def _run(model: Any, name: str) -> dict[str, float]:
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    path = Path(name)
    is_file = path.suffix in (".yaml", ".yml")
    # The library reads thousands of its own tasks otherwise.
    manager = TaskManager(
        include_path=str(path.parent) if is_file else None, include_defaults=not is_file
    )
    wanted = _name_in(path) if is_file else name
    found = simple_evaluate(
        model,
        tasks=[wanted],
        task_manager=manager,
        limit=_LIMIT,
        bootstrap_iters=0,
        log_samples=False,
    )
    if found is None:
        return {}
    return {
        f"harness.{task}.{metric.split(',')[0]}": float(value)
        for task, values in found["results"].items()
        for metric, value in values.items()
        if isinstance(value, int | float) and math.isfinite(value) and "," in metric
    }


def _name_in(path: Path) -> str:
    import yaml

    return str(yaml.safe_load(path.read_text(encoding="utf-8"))["task"])
