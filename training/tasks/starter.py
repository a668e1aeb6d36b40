"""The starter model anew: train >> register >> promote. Knows nothing of how it is made."""

from pathlib import Path
from typing import TYPE_CHECKING

from training.staging import FolderExistsError
from training.tasks import measuring
from training.tasks.data import keep_held_out, starter_rows
from training.tasks.registry import ensure_policy, import_folder, open_registry, promote
from training.tasks.task import Json, Task, run

if TYPE_CHECKING:
    from training.card import ModelCard
    from training.tracking.tracker import Tracker

__all__ = ["promote", "register", "train"]

MADE = 0.85
"""The share of the first task at whose end the model is made; the rest is measuring."""


def train(job: Json) -> Json:
    """Makes the starter's folder."""
    return run(job, "train", _train)


def register(job: Json, exported: Json) -> Json:
    """Has the registry make a version of it."""
    return run(job, "register", lambda task: _register(task, exported))


def _train(task: Task) -> Json:
    from training.tracking.tracker import open_tracker
    from training.tuning.base import folder_digest

    out = task.folder / "starter"
    params = {"seed": _seed(task)}
    with open_tracker(task.settings, task.job["id"], _model(task), params) as tracker:
        card = _make(task, out)
        tracker.dataset(card.data["sha256"], "", "training")
        held_out = keep_held_out(task, starter_rows())
        tracker.dataset(held_out, "", "evaluation")
        metrics = _measure(task, out, card, held_out, tracker)
    runs = {"mlflow_run_id": tracker.mlflow_run(), "wandb_run": tracker.wandb_run()}
    tracker.close(has_ended=True)
    data = {"dataset_digest": card.data["sha256"], "evaluation_digest": held_out}
    task.reporter.result(**data, **runs)
    return {
        "folder": str(out),
        "digest": folder_digest(out),
        "metrics": metrics,
        **data,
        **runs,
    }


def _make(task: Task, out: Path) -> "ModelCard":
    from training.card import read_card
    from training.starter import Progress, make_starter_model

    def told(progress: Progress) -> None:
        task.progress(progress.fraction * MADE, progress.message)

    try:
        return make_starter_model(out, progress=told, seed=_seed(task))
    except FolderExistsError:
        return read_card(out)


def _measure(
    task: Task, out: Path, card: "ModelCard", held_out: str, tracker: "Tracker"
) -> dict[str, float]:
    """What the card says, and what is measured beside the champion, on the same questions."""
    told = {f"eval.{name}": score["share"] for name, score in card.evaluation.items()}
    task.reporter.metrics(0, told)
    tracker.metrics(0, told)
    champion = open_registry(task).champion_of(_model(task))
    others = measuring.others(task, _model(task), champion, None)
    measured = measuring.measure_all(task, out, others, held_out, tracker, begin=MADE)
    return told | measured["metrics"]


def _register(task: Task, exported: Json) -> Json:
    from parley.registry.v1 import registry_pb2 as pb

    registry = open_registry(task)
    champion = registry.champion_of(_model(task))
    ensure_policy(task, registry, _model(task), "eval.exact_match", False)
    evidence = pb.Evidence(
        metrics=exported["metrics"],
        dataset_digest=exported["dataset_digest"],
        evaluation_digest=exported["evaluation_digest"],
        run_id=exported["mlflow_run_id"],
        wandb_run=exported["wandb_run"],
    )
    request = pb.ImportModelRequest(
        model=_model(task),
        local_folder=exported["folder"],
        evidence=evidence,
        expected_digest=exported["digest"],
        request_id=task.request_id("import"),
    )
    number = import_folder(task, registry, request)
    task.reporter.result(model=_model(task), version=number)
    return {"model": _model(task), "number": number, "champion": champion}


def _model(task: Task) -> str:
    return str(task.conf.get("model") or task.settings.starter)


def _seed(task: Task) -> int:
    return int(task.conf.get("seed") or 0)
