"""Brings a job's data to its folder, checks them, and stores them by their digest.

Knows nothing of what is done with them.
"""

from pathlib import Path

from training.data.check import check
from training.data.files import load_rows
from training.data.rows import Row
from training.data.source import fetch
from training.data.store import DATASETS, open_store
from training.errors import DataError, JobFailure
from training.tasks.task import Json, Task


def bring_dataset(task: Task, source: str, for_training: bool = True) -> tuple[Path, Json]:
    """The file, and what is known of it: kind, rows, size_bytes, digest, uri."""
    store = open_store(task.settings)
    path = task.folder / "dataset"
    fetch(source, store, path)
    try:
        with path.open("rb") as stream:
            found = check(stream, for_training)
    except DataError as error:
        # Which of the job's data, too: a job may name several.
        raise DataError(error.reason, f"{source}: {error.message}") from error
    uri = store.put(DATASETS + found.digest, path)
    return path, {**found.as_json(), "uri": uri}


def bring_rows(task: Task, digest: str, name: str) -> list[Row]:
    """The rows of a stored dataset, kept in the job's folder under a name."""
    path = task.folder / name
    try:
        fetch(f"sha256:{digest}", open_store(task.settings), path)
    except JobFailure as error:
        raise JobFailure(
            "DATASET_NOT_FOUND", f"the dataset sha256:{digest} is not stored: {error.message}"
        ) from error
    return load_rows(path)
