"""Which model a job begins with, or is measured: from the registry, from S3's prefix or a folder.

Knows the registry's words; knows nothing of training.
"""

import shutil
from pathlib import Path

from training.data.source import local_path
from training.data.store import open_store
from training.errors import JobFailure
from training.staging import staged_folder
from training.tasks.registry import RefusedError, Registry
from training.tasks.task import Json, Task
from training.tuning.base import MODEL_BYTES_MAX, fetch_model


def resolve_base(task: Task, registry: Registry, champion: int) -> Json:
    """The base of a training, as `name`, `number` and `digest`, or as the `folder` it lies in.

    The caller's choice, else the model's own champion, else the starter.
    """
    wanted = task.conf.get("base") or ""
    if wanted.startswith(("/", "file:///", "s3://")):
        return {"name": wanted, "number": 0, "digest": "", "source": wanted}
    if not wanted:
        wanted = task.conf["model"] if champion else task.settings.starter
    name, _, version = wanted.partition("@")
    return resolve_version(registry, name, version or "champion")


def resolve_version(registry: Registry, name: str, version: str) -> Json:
    """A version by number or alias, as JSON values."""
    try:
        found = registry.version(name, version)
    except RefusedError as error:
        raise JobFailure(
            "MODEL_NOT_FOUND",
            f"there is no {name}@{version} to begin with: {error.message} Name another base.",
        ) from error
    return {
        "name": name,
        "number": int(found.number),
        "digest": found.digest,
        "dataset_digest": found.evidence.dataset_digest,
        "evaluation_digest": found.evidence.evaluation_digest,
        "wandb_run": found.evidence.wandb_run,
    }


def bring(task: Task, base: Json) -> Path:
    """The folder of a base's files on this machine; fetched when it is not there."""
    if base["digest"]:
        cache = task.settings.work_dir / ".models"
        return fetch_model(base["digest"], open_store(task.settings), cache, task.check)
    source: str = base["source"]
    if not source.startswith("s3://"):
        folder = local_path(source)
        if not (folder / "config.json").exists():
            raise JobFailure(
                "MODEL_NOT_FOUND", f"{folder} has no config.json: name a model folder."
            )
        return folder
    return _bring_prefix(task, source)


def _bring_prefix(task: Task, source: str) -> Path:
    into = task.folder / "base"
    if into.exists():
        return into
    store = open_store(task.settings)
    bucket, _, prefix = source.removeprefix("s3://").partition("/")
    if bucket != store.bucket:
        raise JobFailure("MODEL_NOT_FOUND", f"{source} is not in Parley's bucket {store.bucket}.")
    prefix = prefix.rstrip("/") + "/"
    with staged_folder(into) as folder:
        for name in store.list(prefix):
            task.check()
            if "/" not in name:
                store.get(prefix + name, folder / name, MODEL_BYTES_MAX)
        if not (folder / "config.json").exists():
            shutil.rmtree(folder)
            raise JobFailure(
                "MODEL_NOT_FOUND", f"{source} has no config.json: name a model folder."
            )
    return into
