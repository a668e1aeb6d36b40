"""Where a model folder's files come from; each source copies them into a folder that is ours alone.

What is checked, exported and stored afterwards is that copy, so that nothing which happens to the
source later matters. The hub's source has a file of its own (see `hub`).
"""

import asyncio
import os
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from services.registry.importing.folder import (
    Entry,
    Limits,
    changed,
    check_amount,
    list_files,
    open_file,
    opened_folder,
)
from services.registry.importing.manifest import Tell
from services.registry.importing.names import check_name, is_skipped
from services.registry.importing.refusals import disk_full, refused
from services.rpc.errors import InvalidArgument

_COPY_BYTES = 64 << 20


class Source(Protocol):
    """A kind of place that files come from."""

    def check(self, source: str) -> None:
        """Raises InvalidArgument or PermissionDenied when `source` cannot name such a place."""

    async def fetch(self, source: str, into: Path, tell: Tell) -> None:
        """Fills `into`, a folder of ours that may hold what an interrupted call left there.

        Raises ParleyErrors, and OSError when the disk fails.
        """


class Objects(Protocol):
    """What the importer asks of the object store."""

    async def list(self, prefix: str) -> Sequence[tuple[str, int]]:
        """Keys below a prefix, and their sizes."""

    async def get_file(self, key: str, path: Path, sha256: str | None = None) -> None:
        """Writes an object to a file, and checks it when its digest is named."""

    async def put_file(self, key: str, path: Path, sha256: str) -> None:
        """Stores a file, unless the object is there with that SHA-256."""


class LocalSource:
    """Folders on the registry's machine, within the roots."""

    def __init__(self, roots: Sequence[Path], limits: Limits) -> None:
        self._roots = roots
        self._limits = limits

    def check(self, source: str) -> None:
        """See Source."""
        with opened_folder(source, self._roots):
            pass

    async def fetch(self, source: str, into: Path, tell: Tell) -> None:
        """See Source."""
        await asyncio.to_thread(self._copy, source, into, tell)

    def _copy(self, source: str, into: Path, tell: Tell) -> None:
        begin_anew(into)
        with opened_folder(source, self._roots) as folder_fd:
            entries = list_files(folder_fd, self._limits)
            whole = require_room(into, entries)
            done = 0
            for entry in entries:
                share = partial(_tell_share, tell, done / whole, entry.size_bytes / whole)
                _copy_file(folder_fd, entry, into / entry.name, share)
                done += entry.size_bytes


class ObjectSource:
    """Prefixes in the registry's own bucket."""

    def __init__(self, objects: Objects, bucket: str, limits: Limits) -> None:
        self._objects = objects
        self._bucket = bucket
        self._limits = limits

    def check(self, source: str) -> None:
        """See Source."""
        bucket, _, prefix = source.removeprefix("s3://").partition("/")
        if bucket != self._bucket or not prefix.strip("/"):
            raise InvalidArgument(
                f"s3_prefix must name a folder in the registry's own bucket: "
                f"s3://{self._bucket}/FOLDER.",
                reason="BAD_S3_PREFIX",
            )
        if {"", ".", ".."} & set(prefix.strip("/").split("/")):
            raise refused("NAME_ESCAPES", source, "leads out of its folder. Name it in full.")

    async def fetch(self, source: str, into: Path, tell: Tell) -> None:
        """See Source."""
        begin_anew(into)
        prefix = source.removeprefix(f"s3://{self._bucket}/").strip("/") + "/"
        found = [(key.removeprefix(prefix), size) for key, size in await self._objects.list(prefix)]
        entries = [Entry(*each) for each in found if not is_skipped(each[0].partition("/")[0])]
        for entry in entries[: self._limits.files_max]:
            _check_key(entry.name)
        check_amount(entries, self._limits)
        whole = require_room(into, entries)
        done = 0
        for entry in entries:
            await self._objects.get_file(prefix + entry.name, into / entry.name)
            if (into / entry.name).stat().st_size != entry.size_bytes:
                raise changed(entry.name)
            done += entry.size_bytes
            tell(done / whole)


def begin_anew(into: Path) -> None:
    """Makes `into` an empty folder."""
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(mode=0o700)


def require_room(into: Path, entries: Sequence[Entry]) -> int:
    """Returns the bytes of all files, at least 1. Raises ResourceExhausted when they do not fit."""
    whole = sum(entry.size_bytes for entry in entries)
    if shutil.disk_usage(into).free < whole:
        raise disk_full()
    return whole or 1


def _tell_share(tell: Tell, start: float, share: float, fraction: float) -> None:
    tell(start + share * fraction)


def _check_key(name: str) -> None:
    first, slash, _ = name.partition("/")
    if slash and first not in {"", ".", ".."}:
        raise refused("SUBFOLDER", name, "lies in a folder. A model folder is flat: remove it.")
    check_name(name)


def _copy_file(folder_fd: int, entry: Entry, target: Path, tell: Tell) -> None:
    """Copies one file; the kernel moves the bytes. Raises InvalidArgument when it shrinks."""
    file_fd = open_file(folder_fd, entry)
    try:
        with target.open("xb") as copy:
            done = 0
            while done < entry.size_bytes:
                count = os.sendfile(copy.fileno(), file_fd, done, _COPY_BYTES)
                if not count:
                    raise changed(entry.name)
                done += count
                tell(done / entry.size_bytes)
    finally:
        os.close(file_fd)
