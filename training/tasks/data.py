"""Brings a job's data to its folder, checks them, and stores them by their digest.

Knows nothing of what is done with them.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from training.data.check import check
from training.data.files import load_rows, write_rows
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


def keep_held_out(task: Task, rows: Iterable[Row]) -> str:
    """Stores rows that models are measured on, by the digest that it returns.

    The same rows have the same digest, whichever task stores them: gates compare by it.
    """
    path = task.folder / "held-out"
    digest = write_rows(rows, path)
    open_store(task.settings).put(DATASETS + digest, path)
    return digest


def starter_rows() -> Iterator[Row]:
    """What the starter is measured on: its dialogues are made, and stored nowhere before."""
    from training.dialogues import held_out_dialogues

    for dialogue in held_out_dialogues():
        *asked, answer = dialogue.messages
        said = tuple((message.role, message.content) for message in asked)
        yield Row(said, answer.content, dialogue.category)


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
