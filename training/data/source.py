"""Brings a dataset to this machine: from a path, from S3, or by its digest.

Knows nothing of what is in it.
"""

import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

from training.data.files import hash_file
from training.data.lines import BYTES_MAX
from training.data.store import DATASETS, Store
from training.errors import DataError, JobFailure

DIGEST = "sha256:"


def fetch(source: str, store: Store, into: Path) -> None:
    """Copies the data into a file, which appears whole.

    Raises JobFailure when there are none, or when their digest is not the one asked for.
    """
    if source.startswith(DIGEST):
        _fetch_digest(source.removeprefix(DIGEST), store, into)
    elif source.startswith("s3://"):
        bucket, _, key = source.removeprefix("s3://").partition("/")
        store.get(key, into, BYTES_MAX, bucket)
    else:
        _copy(local_path(source), into)


def local_path(source: str) -> Path:
    """The path that /path or file:///path names."""
    return Path(unquote(urlsplit(source).path) if source.startswith("file://") else source)


def _fetch_digest(digest: str, store: Store, into: Path) -> None:
    if into.exists() and hash_file(into) == digest:
        return
    if store.get(DATASETS + digest, into, BYTES_MAX) != digest:
        into.unlink()
        raise JobFailure(
            "DATASET_DAMAGED",
            f"the stored dataset sha256:{digest[:12]} has other bytes than its digest says: "
            "upload it again.",
        )


def _copy(path: Path, into: Path) -> None:
    part = into.with_name(into.name + ".part")
    try:
        if path.stat().st_size > BYTES_MAX:
            raise DataError(
                "DATASET_TOO_LARGE", f"{path} is larger than {BYTES_MAX >> 20} MiB: use fewer rows."
            )
        shutil.copyfile(path, part)
    except OSError as error:
        raise DataError("DATASET_NOT_FOUND", f"{path} cannot be read: {error.strerror}.") from error
    part.rename(into)
