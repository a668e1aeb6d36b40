"""The files of versions on this machine's disk, and the last state, for when nobody else is there.

    lock             held by the replica whose cache this is
    state.json       the last state
    parts/NAME/      files on their way
    versions/NAME/   files.json, and the files below model/; made whole by one rename

NAME is made of both digests. What is used is verified once after each start; what is not is removed
when there is no room, the longest unused first. Blocks: call it on a thread where files are large.
"""

import fcntl
import os
import shutil
import tempfile
import threading
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from pydantic import TypeAdapter

from services.serving.manifest import DIGEST, File, check_listing, differing
from services.serving.source import SourceError
from services.serving.wanted import State, Version, state_from_json

MB = 1_000_000
FOLDER_MODE = 0o700
# Left free on the disk, whatever the cache may take.
SPARE_BYTES = 256 * MB
_FILES = TypeAdapter(tuple[File, ...])


class FileCache:
    """A folder of verified versions, of at most so many bytes."""

    def __init__(self, folder: Path, bytes_max: int) -> None:
        """Takes the folder for this process. Raises ValueError where another one has it."""
        self._folder = folder
        self._bytes_max = bytes_max
        self._verified: set[str] = set()
        # Bytes that versions on their way will take.
        self._coming: dict[str, int] = {}
        self._moving = threading.Lock()
        for name in ("parts", "versions"):
            (folder / name).mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        folder.chmod(FOLDER_MODE)
        self._lock = (folder / "lock").open("wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise ValueError(
                f"another replica uses {folder}; give each a PARLEY_SERVING_CACHE_DIR of its own"
            ) from None

    def read_state(self) -> State | None:
        """The last state that was kept, if there is one that can be read."""
        with suppress(OSError, ValueError):
            return state_from_json((self._folder / "state.json").read_bytes())
        return None

    def keep_state(self, state: State) -> None:
        """Keeps a state, whole or not at all."""
        _write(self._folder / "state.json", state.to_json())

    def find(self, version: Version) -> Path | None:
        """The model folder of a version that is here and is what it must be."""
        name = _name(version)
        entry = self._folder / "versions" / name
        if name not in self._verified:
            try:
                files = _read_files(entry)
                check_listing(files, version.engine_digest)
                good = not differing(entry / "model", files)
            except (OSError, ValueError, SourceError):
                good = False
            if not good:
                shutil.rmtree(entry, ignore_errors=True)
                return None
            self._verified.add(name)
        os.utime(entry / "files.json")
        return entry / "model"

    def begin(self, version: Version, size_bytes: int, used: Collection[Version]) -> Path:
        """A folder for a version's files, with those that came before an interruption.

        Makes room for that many bytes. Raises SourceError when there is none.
        """
        name = _name(version)
        part = self._folder / "parts" / name
        with self._moving:
            self._coming.pop(name, None)
            self._make_room(size_bytes, {name, *(_name(one) for one in used)})
            self._coming[name] = size_bytes
            part.mkdir(mode=FOLDER_MODE, exist_ok=True)
        return part

    def finish(self, version: Version, files: Sequence[File]) -> Path:
        """Makes a version of the files that have come. Raises SourceError, and drops them, where
        they differ."""
        name = _name(version)
        part, entry = self._folder / "parts" / name, self._folder / "versions" / name
        # Only files that are what they must be ever leave this folder.
        bad = differing(part, files)
        for path in bad:
            (part / path).unlink(missing_ok=True)
        if bad:
            raise SourceError(f"what was fetched as {bad[0]} is not what its digest names")
        self._coming.pop(name, None)
        parts = self._folder / "parts"
        with self._moving, tempfile.TemporaryDirectory(dir=parts) as scratch:
            # Only what is listed: nothing else was verified.
            model = Path(scratch, "entry", "model")
            for file in files:
                (model / file.path).parent.mkdir(parents=True, exist_ok=True)
                (part / file.path).rename(model / file.path)
            _write(model.parent / "files.json", _FILES.dump_json(tuple(files)))
            shutil.rmtree(entry, ignore_errors=True)
            model.parent.rename(entry)
        shutil.rmtree(part, ignore_errors=True)
        self._verified.add(name)
        return entry / "model"

    def _make_room(self, need: int, used: Collection[str]) -> None:
        for part in (self._folder / "parts").iterdir():
            if part.name not in used:
                shutil.rmtree(part, ignore_errors=True)
        sizes = {
            entry: _size(entry)
            for entry in sorted((self._folder / "versions").iterdir(), key=_last_use)
        }
        need += sum(size for name, size in self._coming.items() if name in used)
        for entry in list(sizes):
            if self._room(sum(sizes.values())) >= need:
                break
            if entry.name not in used:
                shutil.rmtree(entry, ignore_errors=True)
                self._verified.discard(entry.name)
                del sizes[entry]
        room = self._room(sum(sizes.values()))
        if room < need:
            raise SourceError(
                f"its files take {need / MB:.0f} MB, and there is room for {max(room, 0) / MB:.0f} "
                "MB; raise PARLEY_SERVING_CACHE_DISK_GIB, or free the disk"
            )

    def _room(self, taken: int) -> int:
        free = shutil.disk_usage(self._folder).free - SPARE_BYTES
        return min(self._bytes_max - taken, free)


def _name(version: Version) -> str:
    for digest in (version.key.digest, version.engine_digest):
        if not DIGEST.fullmatch(digest):
            raise SourceError("its digests are not of 64 hexadecimal digits")
    return f"{version.key.digest}-{version.engine_digest[:16]}"


def _read_files(entry: Path) -> tuple[File, ...]:
    return _FILES.validate_json((entry / "files.json").read_bytes())


def _size(entry: Path) -> int:
    return sum(path.stat().st_size for path in entry.rglob("*") if path.is_file())


def _last_use(entry: Path) -> float:
    try:
        return (entry / "files.json").stat().st_mtime
    except OSError:
        return 0.0


def _write(path: Path, data: bytes) -> None:
    fresh = path.with_name(f"{path.name}.new")
    with fresh.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
