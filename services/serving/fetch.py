"""Fetches a file over HTTP, on from where it broke off. Knows nothing of what is in it."""

import asyncio
import logging
import os
from pathlib import Path

import httpx

from services.serving.manifest import File
from services.serving.source import SourceError

TIMEOUT = httpx.Timeout(20, connect=5)
# What object stores answer when an address has expired, or its signature is no longer good.
EXPIRED = (400, 401, 403)
PARTIAL, BAD_RANGE = 206, 416

# It would log each address, and they are secret.
logging.getLogger("httpx").setLevel(logging.WARNING)


class ExpiredError(Exception):
    """The address is no longer good; a new one may be."""


def open_client() -> httpx.AsyncClient:
    """A client that goes where it is told, past proxies and redirections."""
    return httpx.AsyncClient(timeout=TIMEOUT, trust_env=False, follow_redirects=False)


async def fetch(client: httpx.AsyncClient, url: str, file: File, path: Path) -> None:
    """Writes a file of exactly the size that it should have; what is at `path` already is taken
    for its beginning. Safe to cancel.

    Raises ExpiredError, or SourceError for whatever may pass by itself.
    """
    have = _prepare(path, file)
    if have == file.size_bytes and have > 0:
        return
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        async with client.stream("GET", url, headers=headers) as response:
            await _receive(response, file, path, have)
    except httpx.HTTPError as error:
        # Its words may hold the address, which is secret.
        raise SourceError(f"{file.path} broke off: {type(error).__name__}") from None
    if _prepare(path, file) != file.size_bytes:
        raise SourceError(f"{file.path} broke off")


def _prepare(path: Path, file: File) -> int:
    """Makes the file if there is none, empties one that is too long, and returns its size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    if path.stat().st_size > file.size_bytes:
        os.truncate(path, 0)
    return path.stat().st_size


async def _receive(response: httpx.Response, file: File, path: Path, have: int) -> None:
    if response.status_code in EXPIRED:
        raise ExpiredError
    if response.status_code == BAD_RANGE:
        os.truncate(path, 0)
    if not response.is_success:
        raise SourceError(f"{file.path}: the store answered {response.status_code}")
    goes_on = response.status_code == PARTIAL
    if goes_on and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        raise SourceError(f"{file.path}: the store sent another part than was asked for")
    got = have if goes_on else 0
    with path.open("ab" if goes_on else "wb") as out:
        async for chunk in response.aiter_raw():
            got += len(chunk)
            if got > file.size_bytes:
                out.truncate(0)
                raise SourceError(f"{file.path} is longer than its {file.size_bytes} bytes")
            # Beside streams of tokens: a full disk queue must not hold up the event loop.
            await asyncio.to_thread(out.write, chunk)
