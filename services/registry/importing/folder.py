"""Reads a model folder that is not ours, without ever being led out of it.

The folder is opened once and named by its descriptor from then on; links are refused, not followed,
so that nobody can swap what was looked at for something else. Knows names and kinds of files, not
what is in them (see `contents`).
"""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.registry.importing.names import check_distinct, check_name, is_skipped
from services.registry.importing.refusals import refused
from services.rpc.errors import InvalidArgument, PermissionDenied

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# A pipe under a file's name must not hold us up.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a model folder may hold."""

    files_max: int = 256
    text_bytes_max: int = 64 << 20
    folder_bytes_max: int = 64 << 30


@dataclass(frozen=True, slots=True)
class Entry:
    """A file that may be taken."""

    name: str
    size_bytes: int


@contextmanager
def opened_folder(path: str, roots: Sequence[Path]) -> Iterator[int]:
    """Opens a folder that lies within one of the roots, and gives its descriptor.

    Where it lies is asked of the open descriptor, so that links on the way count by where they
    lead. Raises InvalidArgument or PermissionDenied.
    """
    if not path.startswith("/") or "\0" in path:
        raise InvalidArgument(
            "local_folder must be an absolute path on the registry's machine.",
            reason="PATH_NOT_ABSOLUTE",
        )
    try:
        folder_fd = os.open(path, _FOLDER)
    except PermissionError:
        raise _outside("cannot be read by the registry. Change its permissions.") from None
    except OSError:
        raise InvalidArgument(
            "local_folder names no folder on the registry's machine.", reason="FOLDER_NOT_FOUND"
        ) from None
    try:
        place = Path(f"/proc/self/fd/{folder_fd}").readlink()
        if not any(place.is_relative_to(root.resolve()) for root in roots):
            raise _outside("lies outside the folders that may be imported from (import_roots).")
        yield folder_fd
    finally:
        os.close(folder_fd)


def _outside(words: str) -> PermissionDenied:
    return PermissionDenied(f"The folder {words}", reason="FOLDER_NOT_READABLE")


def list_files(folder_fd: int, limits: Limits) -> list[Entry]:
    """Lists the files of a model folder, sorted by name. Hidden entries and openvino/ are skipped.

    Raises InvalidArgument for the first entry that may not be there.
    """
    entries: list[Entry] = []
    with os.scandir(folder_fd) as found:
        for each in found:
            if not is_skipped(each.name):
                entries.append(_entry(folder_fd, each.name))
            if len(entries) > limits.files_max:
                break
    entries.sort(key=lambda entry: entry.name)
    check_amount(entries, limits)
    return entries


def check_amount(entries: Sequence[Entry], limits: Limits) -> None:
    """Raises InvalidArgument when the files are too many, too large, or not told apart by name."""
    if len(entries) > limits.files_max:
        raise InvalidArgument(
            f"The folder holds more than {limits.files_max} files. Remove what the model does not "
            "need.",
            reason="TOO_MANY_FILES",
        )
    for entry in entries:
        if not entry.name.endswith(".safetensors") and entry.size_bytes > limits.text_bytes_max:
            words = f"is larger than {limits.text_bytes_max >> 20} MiB, too large for its kind."
            raise refused("FILE_TOO_LARGE", entry.name, words)
    if sum(entry.size_bytes for entry in entries) > limits.folder_bytes_max:
        raise InvalidArgument(
            f"The folder is larger than {limits.folder_bytes_max >> 20} MiB, the most that is "
            "taken.",
            reason="FOLDER_TOO_LARGE",
        )
    check_distinct([entry.name for entry in entries])


def open_file(folder_fd: int, entry: Entry) -> int:
    """Opens a file that was listed, and gives its descriptor.

    Raises InvalidArgument when it is no longer what was listed.
    """
    try:
        file_fd = os.open(entry.name, _FILE, dir_fd=folder_fd)
    except OSError:
        raise changed(entry.name) from None
    found = os.fstat(file_fd)
    if not stat.S_ISREG(found.st_mode) or found.st_size != entry.size_bytes:
        os.close(file_fd)
        raise changed(entry.name)
    return file_fd


def changed(name: str) -> InvalidArgument:
    """Makes the refusal of a file that changes while it is read."""
    words = "changed while it was read, or cannot be read. Import again when nobody writes to it."
    return refused("SOURCE_CHANGED", name, words)


def _entry(folder_fd: int, name: str) -> Entry:
    found = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
    if stat.S_ISLNK(found.st_mode):
        words = "is a symbolic link. Copy the folder with its files (cp -rL), and import the copy."
        raise refused("SYMLINK", name, words)
    if stat.S_ISDIR(found.st_mode):
        raise refused("SUBFOLDER", name, "is a folder. A model folder is flat: remove it.")
    if not stat.S_ISREG(found.st_mode):
        raise refused("SPECIAL_FILE", name, "is neither file nor folder. Remove it.")
    check_name(name)
    if found.st_nlink > 1:
        words = "has another name elsewhere (a hard link). Copy the folder, and import the copy."
        raise refused("HARD_LINK", name, words)
    return Entry(name, found.st_size)
