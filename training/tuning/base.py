"""Brings a model's source files to this machine, by digest, and keeps them for the next job.

Knows the registry's rule for a folder's digest and its place in the bucket; knows nothing of jobs.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

from training.card import CARD_NAME
from training.data.files import hash_file
from training.data.store import MODELS, Store
from training.errors import JobFailure
from training.staging import FolderBusyError, FolderExistsError, staged_folder

MODEL_BYTES_MAX = 16 << 30
KEPT_MAX = 8
"""Most models that are kept; those that were used longest ago go first."""
_UNVERSIONED = {CARD_NAME, "README.md"}


def fetch_model(
    digest: str, store: Store, cache: Path, check: Callable[[], None] = lambda: None
) -> Path:
    """The folder of the source files with this digest. `check` may raise between files.

    Raises JobFailure when the store has other bytes than the digest says.
    """
    folder = cache / digest
    if not folder.exists():
        try:
            with staged_folder(folder) as staged:
                _fetch(digest, store, staged, check)
        except FolderExistsError:
            pass  # Another process was first.
        except FolderBusyError as error:
            raise TimeoutError("another process is fetching the same model") from error
    folder.touch()
    _evict(cache, folder)
    return folder


def folder_digest(folder: Path) -> str:
    """The digest of a model folder's source files: a line for each, by the registry's rule."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    lines = [
        f"{hash_file(folder / name)}  {name}\n"
        for name in names
        if name not in _UNVERSIONED and not name.startswith(".")
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def is_starter(folder: Path, starter: str) -> bool:
    """Whether a model is the starter, or was made from it."""
    try:
        card = json.loads((folder / CARD_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return starter in (card.get("name"), card.get("data", {}).get("family"))


def _fetch(digest: str, store: Store, into: Path, check: Callable[[], None]) -> None:
    prefix = f"{MODELS}{digest}/"
    names = store.list(prefix)
    if not names:
        raise JobFailure(
            "MODEL_FILES_MISSING",
            f"the object store has no files of the model {digest[:12]}: import it again.",
        )
    for name in names:
        check()
        if "/" in name or name.startswith("."):
            continue
        store.get(prefix + name, into / name, MODEL_BYTES_MAX)
    if folder_digest(into) != digest:
        raise JobFailure(
            "MODEL_FILES_DAMAGED",
            f"the files of the model {digest[:12]} are not those that were stored: import it "
            "again.",
        )


def _evict(cache: Path, used: Path) -> None:
    folders = [path for path in cache.iterdir() if path.is_dir() and path.name[0] != "."]
    folders.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for folder in folders[KEPT_MAX:]:
        if folder != used:
            shutil.rmtree(folder, ignore_errors=True)
