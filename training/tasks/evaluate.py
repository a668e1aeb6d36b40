"""Measuring a version beside the champion: prepare >> evaluate."""

from training.data.files import load_rows
from training.data.store import DATASETS, open_store
from training.errors import JobFailure
from training.lessons import plan
from training.tasks import measuring
from training.tasks.bases import bring, resolve_version
from training.tasks.data import bring_dataset, keep_held_out, starter_rows
from training.tasks.registry import open_registry
from training.tasks.task import Json, Task, run
from training.tracking.tracker import open_tracker


def prepare(job: Json) -> Json:
    """Finds the version and the rows that it is asked."""
    return run(job, "prepare", _prepare)


def evaluate(job: Json, prepared: Json) -> Json:
    """Measures it, and the champion where that is another."""
    return run(job, "evaluate", lambda task: _evaluate(task, prepared))


def _prepare(task: Task) -> Json:
    registry = open_registry(task)
    model = task.conf["model"]
    version = resolve_version(registry, model, task.conf.get("version") or "champion")
    champion = registry.champion_of(model)
    if task.conf.get("dataset"):
        path, data = bring_dataset(task, task.conf["dataset"], for_training=True)
        rows = load_rows(path)
        digest = keep_held_out(task, rows)
    else:
        data = {"digest": version["dataset_digest"]}
        digest = _own_held_out(task, version)
    bring(task, version)
    task.reporter.result(
        model=model,
        version=version["number"],
        dataset_digest=data["digest"],
        evaluation_digest=digest,
    )
    return {"version": version, "champion": champion, "evaluation_digest": digest}


def _own_held_out(task: Task, version: Json) -> str:
    """The held-out rows that the version was measured on, or those of its dataset."""
    store = open_store(task.settings)
    known: str = version["evaluation_digest"]
    if known and store.has(DATASETS + known):
        return known
    dataset = version["dataset_digest"]
    if version["name"] == task.settings.starter and not store.has(DATASETS + dataset):
        held_out = tuple(starter_rows())
    elif dataset:
        path, _ = bring_dataset(task, f"sha256:{dataset}")
        held_out = plan(load_rows(path), verbatim=False).held_out
    else:
        raise JobFailure(
            "NO_DATASET",
            f"{version['name']} version {version['number']} was not made from a dataset that is "
            "stored here: name one to measure it on.",
        )
    return keep_held_out(task, held_out)


def _evaluate(task: Task, prepared: Json) -> Json:
    version = prepared["version"]
    champion = prepared["champion"] if prepared["champion"] != version["number"] else 0
    others = measuring.others(task, task.conf["model"], champion, None)
    params = {"version": version["number"]}
    with open_tracker(task.settings, task.job["id"], task.conf["model"], params) as tracker:
        tracker.dataset(prepared["evaluation_digest"], "", "evaluation")
        evaluated = measuring.measure_all(
            task, bring(task, version), others, prepared["evaluation_digest"], tracker
        )
    measuring.tell_registry(task, version, prepared["evaluation_digest"], evaluated["metrics"])
    runs = {"mlflow_run_id": tracker.mlflow_run(), "wandb_run": tracker.wandb_run()}
    tracker.close(has_ended=True)
    task.reporter.result(**runs)
    return {"metrics": evaluated["metrics"], **runs}
