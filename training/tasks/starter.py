"""The starter model anew: train >> register >> promote. Knows nothing of how it is made."""

from training.staging import FolderExistsError
from training.tasks.registry import ensure_policy, import_folder, open_registry, promote
from training.tasks.task import Json, Task, run

__all__ = ["promote", "register", "train"]


def train(job: Json) -> Json:
    """Makes the starter's folder."""
    return run(job, "train", _train)


def register(job: Json, exported: Json) -> Json:
    """Has the registry make a version of it."""
    return run(job, "register", lambda task: _register(task, exported))


def _train(task: Task) -> Json:
    from training.card import read_card
    from training.starter import Progress, make_starter_model
    from training.tracking.tracker import open_tracker
    from training.tuning.base import folder_digest

    out = task.folder / "starter"
    tracker = open_tracker(task.settings, task.job["id"], _model(task), {"seed": _seed(task)})

    def told(progress: Progress) -> None:
        task.progress(progress.fraction, progress.message)

    try:
        card = make_starter_model(out, progress=told, seed=_seed(task))
    except FolderExistsError:
        card = read_card(out)
    metrics = {f"eval.{name}": score["share"] for name, score in card.evaluation.items()}
    metrics["eval.exact_match"] = metrics["eval.overall"]
    tracker.metrics(0, metrics)
    tracker.dataset(card.data["sha256"], "", "training")
    task.reporter.metrics(0, metrics)
    runs = {"mlflow_run_id": tracker.mlflow_run(), "wandb_run": tracker.wandb_run()}
    tracker.close(has_ended=True)
    task.reporter.result(dataset_digest=card.data["sha256"], **runs)
    return {
        "folder": str(out),
        "digest": folder_digest(out),
        "metrics": metrics,
        "dataset_digest": card.data["sha256"],
        "evaluation_digest": held_out_digest(),
        **runs,
    }


def held_out_digest() -> str:
    """Names the starter's own held-out questions."""
    from training.dialogues import digest, held_out_dialogues

    return digest(held_out_dialogues())


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
