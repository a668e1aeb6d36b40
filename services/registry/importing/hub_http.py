"""HTTP to a hub: bounded answers, redirects that stay safe, downloads that go on where they ended.

Knows the hub's address and nothing of models.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from services.rpc.errors import FailedPrecondition, NotFound, ParleyError

_JSON_BYTES_MAX = 8 << 20
_REDIRECTS_MAX = 5
_TRIES_MAX = 5
_TIMEOUT = httpx.Timeout(30, connect=10)
_MISSING = {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN, httpx.codes.NOT_FOUND}
# Sizes are those of the files themselves, so nothing may be compressed on the way.
_HEADERS = {"accept-encoding": "identity"}


class HubClient:
    """A client of one hub; use it as a context."""

    def __init__(self, endpoint: str, retry_delay_s: float) -> None:
        self._endpoint = endpoint
        self._retry_delay_s = retry_delay_s
        self._http = httpx.AsyncClient(timeout=_TIMEOUT, headers=_HEADERS)

    async def __aenter__(self) -> "HubClient":
        """Opens the client."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes its connections."""
        await self._http.aclose()

    async def json(self, path: str) -> Any:
        """Gets a JSON value. Raises NotFound, or FailedPrecondition when the hub does not serve."""
        try:
            return json.loads(await self._tried(lambda: self._read(path)))
        except (ValueError, RecursionError):
            raise answered_strangely("its listing is not JSON") from None

    async def download(
        self, path: str, part: Path, size_bytes: int, hear: Callable[[int], None]
    ) -> None:
        """Fills `part` up to `size_bytes`, beginning behind what it holds; `hear` gets how many
        bytes are there.

        Raises NotFound, or FailedPrecondition when the hub does not serve, or sends more than that.
        """
        await self._tried(lambda: self._go_on(path, part, size_bytes, hear))

    async def _tried(self, work: Any) -> Any:
        """Does the work, again when the connection broke."""
        for tries_left in reversed(range(_TRIES_MAX)):
            try:
                return await work()
            except httpx.TransportError as error:
                if not tries_left:
                    raise self._unreachable(str(error) or type(error).__name__) from None
            await asyncio.sleep(self._retry_delay_s)
        raise AssertionError

    async def _read(self, path: str) -> bytes:
        text = b""
        async with self._opened(path, 0) as answer:
            async for chunk in answer.aiter_bytes():
                text += chunk
                if len(text) > _JSON_BYTES_MAX:
                    raise answered_strangely("its listing is too long")
        return text

    async def _go_on(
        self, path: str, part: Path, size_bytes: int, hear: Callable[[int], None]
    ) -> None:
        start = _held(part, size_bytes)
        if start == size_bytes:
            return
        async with self._opened(path, start) as answer:
            if not _goes_on_at(answer, start):
                start = 0
            with part.open("r+b") as file:
                file.truncate(start)
                file.seek(start)
                async for chunk in answer.aiter_bytes():
                    start += len(chunk)
                    if start > size_bytes:
                        raise answered_strangely("it sends more than it lists")
                    file.write(chunk)
                    hear(start)
        if start < size_bytes:
            raise httpx.ReadError("the answer ended early")

    @asynccontextmanager
    async def _opened(self, path: str, start: int) -> AsyncIterator[httpx.Response]:
        """Asks for the bytes from `start` on, and follows where the hub keeps them."""
        url = httpx.URL(self._endpoint + path)
        headers = {"range": f"bytes={start}-"} if start else {}
        for _ in range(_REDIRECTS_MAX):
            async with self._http.stream("GET", url, headers=headers) as answer:
                if answer.is_redirect:
                    url = _safe(url, answer.headers["location"])
                    continue
                self._check(answer)
                yield answer
                return
        raise answered_strangely("it redirects without end")

    def _check(self, answer: httpx.Response) -> None:
        if answer.status_code in _MISSING:
            raise NotFound(
                "The hub has no such model, revision or file, or does not show it without an "
                "account. Check the id, or download the folder and import that.",
                reason="HUB_MODEL_NOT_FOUND",
            )
        if not answer.is_success:
            raise self._unreachable(f"it answers {answer.status_code}")

    def _unreachable(self, why: str) -> ParleyError:
        return FailedPrecondition(
            f"The model hub at {self._endpoint} cannot be reached: {why[:200]}. Check the network "
            "and the registry's hub_endpoint, or import a local folder.",
            reason="HUB_UNREACHABLE",
        )


def answered_strangely(why: str) -> ParleyError:
    """Makes the failure of a hub that does not speak as a hub does."""
    return FailedPrecondition(
        f"The model hub gives a strange answer: {why}. Check the registry's hub_endpoint.",
        reason="HUB_ANSWER_INVALID",
    )


def _held(part: Path, size_bytes: int) -> int:
    """How many bytes of the file an earlier try brought; none when they are too many."""
    part.touch(mode=0o600)
    if part.stat().st_size > size_bytes:
        part.write_bytes(b"")
    return part.stat().st_size


def _goes_on_at(answer: httpx.Response, start: int) -> bool:
    given = answer.headers.get("content-range", "")
    return answer.status_code == httpx.codes.PARTIAL_CONTENT and given.startswith(f"bytes {start}-")


def _safe(url: httpx.URL, location: str) -> httpx.URL:
    """Where a redirect leads: to the hub itself, or to another host by HTTPS."""
    target = url.join(location)
    here = (target.scheme, target.host, target.port) == (url.scheme, url.host, url.port)
    if not (here or target.scheme == "https"):
        raise answered_strangely("it redirects to an address without HTTPS")
    return target
