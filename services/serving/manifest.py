"""The files of a version: what they must be, and whether they are that.

A digest of a version is the SHA-256 of its manifest: lines of SHA-256 and path, sorted by path.
Pure but for reading files.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from services.serving.model import ENGINE_FOLDER, UNVERSIONED
from services.serving.source import SourceError

DIGEST = re.compile(r"[0-9a-f]{64}")
FILES_MAX = 1000
PATH_BYTES_MAX = 512


@dataclass(frozen=True, slots=True)
class File:
    """One file, by its path in the model folder."""

    path: str
    size_bytes: int
    sha256: str


def check_listing(files: Sequence[File], engine_digest: str) -> None:
    """Checks that a list of files is one of a version. Raises SourceError."""
    if not 0 < len(files) <= FILES_MAX:
        raise SourceError(f"it has {len(files)} files; there may be 1 to {FILES_MAX}")
    if len({file.path for file in files}) != len(files):
        raise SourceError("two of its files have the same path")
    for file in files:
        if not _is_plain(file.path) or not DIGEST.fullmatch(file.sha256):
            raise SourceError(f"its list of files is no good at {file.path[:100]!r}")
    if engine_manifest(files) != engine_digest:
        raise SourceError("the list of its engine's files is not the one that its digest names")


def engine_manifest(files: Iterable[File]) -> str:
    """The digest of the engine's form: the files below openvino/, named as they are there."""
    prefix = f"{ENGINE_FOLDER}/"
    mine = {
        file.path.removeprefix(prefix): file.sha256
        for file in files
        if file.path.startswith(prefix) and file.path.removeprefix(prefix) not in UNVERSIONED
    }
    lines = (f"{sha256}  {path}\n" for path, sha256 in sorted(mine.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def differing(folder: Path, files: Iterable[File]) -> list[str]:
    """Paths of the files that are not what they must be; reads about 1 GB a second."""
    return [file.path for file in files if not _is_whole(folder / file.path, file)]


def _is_whole(path: Path, file: File) -> bool:
    if path.is_symlink() or not path.is_file() or path.stat().st_size != file.size_bytes:
        return False
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest() == file.sha256


def _is_plain(path: str) -> bool:
    """Whether a path stays within its folder, and is written in the one way there is."""
    pure = PurePosixPath(path)
    return (
        0 < len(path.encode()) <= PATH_BYTES_MAX
        and path.isprintable()
        and "\\" not in path
        and not pure.is_absolute()
        and ".." not in pure.parts
        and pure.name != ""
        and str(pure) == path
    )
