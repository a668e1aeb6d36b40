"""Fetches a model's files from a hub, by the two routes of its HTTP interface.

    GET /api/models/OWNER/NAME/revision/REVISION?blobs=true     lists the files of a revision
    GET /OWNER/NAME/resolve/COMMIT/FILE                          gives one, from any byte on

Only files of kinds that a model folder may hold are fetched; a hub's other files are passed over.
A fetch that was cut off goes on where it ended. Knows nothing of what the files mean.
"""

import asyncio
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.registry.importing.folder import Entry, Limits, check_amount
from services.registry.importing.hub_http import HubClient, answered_strangely
from services.registry.importing.manifest import Tell
from services.registry.importing.names import check_name, is_allowed, is_skipped
from services.registry.importing.refusals import refused
from services.registry.importing.sources import begin_anew, require_room
from services.rpc.errors import DeadlineExceeded, InvalidArgument

_ID = re.compile(r"(\w[\w.-]{0,95}/\w[\w.-]{0,95})(?:@(\w[\w.-]{0,127}))?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40,64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LISTING_S_MAX = 120.0
_BYTES_PER_S_MIN = 64 << 10
_DEFAULT_REVISION = "main"
# Which commit the files of a folder come from; hidden, as the parts of unfinished files are.
_MARK = ".commit"


@dataclass(frozen=True, slots=True)
class _File:
    """A file as the hub lists it; the digest is empty where the hub gives none."""

    entry: Entry
    sha256: str


class HubSource:
    """Models of the hub at `endpoint`, such as https://huggingface.co."""

    def __init__(self, endpoint: str, limits: Limits, retry_delay_s: float = 1.0) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._limits = limits
        self._retry_delay_s = retry_delay_s

    def check(self, source: str) -> None:
        """See Source."""
        _parts(source)

    async def fetch(self, source: str, into: Path, tell: Tell) -> None:
        """See Source."""
        model, revision = _parts(source)
        try:
            async with (
                asyncio.timeout(_LISTING_S_MAX) as limit,
                HubClient(self._endpoint, self._retry_delay_s) as client,
            ):
                listing = await client.json(f"/api/models/{model}/revision/{revision}?blobs=true")
                commit, files = self._read(listing)
                _keep_parts(into, commit)
                whole = require_room(into, [file.entry for file in files])
                now = asyncio.get_running_loop().time()
                limit.reschedule(now + _LISTING_S_MAX + whole / _BYTES_PER_S_MIN)
                done = 0
                for file in files:
                    path = f"/{model}/resolve/{commit}/{file.entry.name}"
                    await _get(client, path, file, into, lambda n, d=done: tell((d + n) / whole))
                    done += file.entry.size_bytes
        except TimeoutError:
            raise DeadlineExceeded(
                f"The model hub at {self._endpoint} is too slow. Import again later, or "
                "download the folder and import that.",
                reason="HUB_TIMEOUT",
            ) from None

    def _read(self, listing: Any) -> tuple[str, list[_File]]:
        try:
            commit = str(listing["sha"])
            found = [_file(each) for each in listing["siblings"]]
        except (TypeError, LookupError):
            raise answered_strangely("its listing cannot be read") from None
        if not _COMMIT.fullmatch(commit):
            raise answered_strangely("its listing names no commit")
        files = [file for file in found if file is not None]
        check_amount([file.entry for file in files], self._limits)
        return commit, files


def _parts(source: str) -> tuple[str, str]:
    """The model and the revision that an id names."""
    found = _ID.fullmatch(source)
    if not found or ".." in source:
        raise InvalidArgument(
            "hub_id must be OWNER/NAME or OWNER/NAME@REVISION, of letters, digits, dots, dashes "
            "and underscores.",
            reason="BAD_HUB_ID",
        )
    return found[1], found[2] or _DEFAULT_REVISION


def _file(listed: dict[str, Any]) -> _File | None:
    """Reads one entry of the listing; None for a file that is passed over."""
    name = listed["rfilename"]
    if not isinstance(name, str) or is_skipped(name):
        return None
    folder, slash, _ = name.partition("/")
    if slash and folder not in {"", ".", ".."} and ".." not in name:
        return None
    if not slash and not is_allowed(name):
        return None
    check_name(name)
    size, large = listed.get("size"), listed.get("lfs") or {}
    if type(size) is not int or size < 0:
        raise answered_strangely("its listing gives no sizes")
    sha256 = str(large.get("sha256") or "")
    return _File(Entry(name, size), sha256 if _SHA256.fullmatch(sha256) else "")


def _keep_parts(into: Path, commit: str) -> None:
    """Keeps what an interrupted fetch of the same commit left, and nothing else."""
    mark = into / _MARK
    if not mark.is_file() or mark.read_text(encoding="ascii") != commit:
        begin_anew(into)
        mark.write_text(commit, encoding="ascii")


async def _get(
    client: HubClient, path: str, file: _File, into: Path, hear: Callable[[int], None]
) -> None:
    """Fetches one file, or what is missing of it; it appears only when it is whole."""
    target, part = into / file.entry.name, into / f".{file.entry.name}.part"
    if target.exists():
        target.rename(part)  # to be looked at again: the machine may have lost power since
    await client.download(path, part, file.entry.size_bytes, hear)
    await asyncio.to_thread(_finish, file, part, target)


def _finish(file: _File, part: Path, target: Path) -> None:
    if file.sha256:
        with part.open("rb") as whole:
            found = hashlib.file_digest(whole, "sha256").hexdigest()
        if found != file.sha256:
            part.unlink()
            words = "does not have the SHA-256 that the hub lists. Import again."
            raise refused("HUB_DIGEST_DIFFERS", file.entry.name, words)
    part.rename(target)
