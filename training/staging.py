"""Folders that appear whole or not at all: made beside their place, renamed when finished.

Knows nothing of models.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class StagingError(Exception):
    """A folder cannot be made; the message says why and what to do."""


class FolderExistsError(StagingError):
    """The place is taken: the caller's fault."""


class FolderBusyError(StagingError):
    """Another process is making the same folder right now: wait for it."""


@contextmanager
def staged_folder(out: Path) -> Iterator[Path]:
    """Gives an empty folder that becomes `out` when the block ends well, else disappears.

    What a killed process left behind is cleared by the next one. Raises FolderExistsError when
    `out` is there already, FolderBusyError when another process is at work on it.
    """
    out = out.absolute()
    if out.exists():
        raise FolderExistsError(f"{out} is there already; remove it first to make it again.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with _locked(out.with_name(f".{out.name}.lock"), out):
        partial = out.with_name(f".{out.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            partial.mkdir()
            yield partial
            partial.rename(out)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _locked(path: Path, out: Path) -> Iterator[None]:
    """Holds a lock that ends with the process. The file stays: removing it would open a race."""
    handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise FolderBusyError(f"Another process is making {out}; wait until it is done.") from error
    finally:
        os.close(handle)
