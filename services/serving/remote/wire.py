"""Another server over HTTP: what is asked of it, within which bounds, and what its failures mean.

Leaving a stream closes its connection, which is how these servers hear that nobody waits any more.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx
import structlog

from services.rpc.errors import ParleyError
from services.rpc.logs import REQUEST_ID_KEY
from services.rpc.settings import secret
from services.serving.remote import failures, sse
from services.serving.remote.failures import Secrets

log = structlog.get_logger()

ANSWER_BYTES_MAX = 4 << 20
ERROR_BYTES_MAX = 64 << 10
WRITE_TIMEOUT_S = 30.0
# Well below what servers keep an idle connection for, lest one closes as it is used again.
KEEP_S = 2.0
ID_BYTES = 4
EVENT_STREAM = "text/event-stream"
Json = dict[str, Any]


class Wire:
    """A client of one server at `url`, without /v1. `shown` is what its model is called here.

    `connect_timeout_s` bounds a connection's making, `read_timeout_s` each silence after that.
    `silence_s`, within an answer, is for its reader to keep: only that knows when it has begun.
    """

    def __init__(
        self,
        url: str,
        key_file: Path | None,
        shown: str,
        *,
        connect_timeout_s: float,
        read_timeout_s: float,
        silence_s: float,
    ) -> None:
        """Raises OSError or ValueError where the key cannot be read."""
        self.url = url
        self.model = ""
        self.shown = shown
        self.silence_s = silence_s
        self._key_file = key_file
        self._key = ""
        # What was said of a path that refuses us: once is enough.
        self._said: dict[str, int] = {}
        self.read_key()
        self._http = httpx.AsyncClient(
            base_url=url,
            timeout=httpx.Timeout(read_timeout_s, connect=connect_timeout_s, write=WRITE_TIMEOUT_S),
            # What is asked at a time is bounded before it comes here.
            limits=httpx.Limits(max_connections=None, keepalive_expiry=KEEP_S),
            # A proxy of the environment's would take what is meant for this machine.
            trust_env=url.startswith("https:"),
        )

    @property
    def secrets(self) -> Secrets:
        """What must stay out of words for callers."""
        return Secrets(self._key, self.model, self.shown)

    def read_key(self) -> None:
        """Takes the key from its file again: one that was renewed needs no restart."""
        self._key = secret(self._key_file) if self._key_file else ""

    async def close(self) -> None:
        """Closes every connection."""
        await self._http.aclose()

    async def get(self, path: str, timeout_s: float) -> Json:
        """What the server says at `path`, within `timeout_s`. Raises ParleyError."""
        with _told():
            async with asyncio.timeout(timeout_s), self._ask("GET", path) as answer:
                return _object(await _read(answer, ANSWER_BYTES_MAX))

    async def post(self, path: str, body: Json) -> Json:
        """The server's answer, whole. Raises ParleyError."""
        with _told():
            async with self._ask("POST", path, body) as answer:
                return _object(await _read(answer, ANSWER_BYTES_MAX))

    @asynccontextmanager
    async def stream(self, path: str, body: Json) -> AsyncIterator[AsyncIterator[Any]]:
        """The chunks of a streamed answer, once the server has taken the request; they end with the
        stream, whether or not the answer is whole. Raises ParleyError, also while they are read."""
        with _told():
            async with self._ask("POST", path, body) as answer:
                if not answer.headers.get("content-type", "").startswith(EVENT_STREAM):
                    raise failures.not_understood("does not stream its answers")
                yield _chunks(answer)

    @asynccontextmanager
    async def _ask(
        self, verb: str, path: str, body: Json | None = None
    ) -> AsyncIterator[httpx.Response]:
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        if request_id := structlog.contextvars.get_contextvars().get("request_id"):
            # vLLM and `transformers serve` know what they generate by this id, and mix up requests
            # that have the same one: each choice, and each try, needs an id of its own.
            headers[REQUEST_ID_KEY] = f"{request_id}-{token_hex(ID_BYTES)}"
        async with self._http.stream(verb, path, json=body, headers=headers) as answer:
            if answer.status_code != httpx.codes.OK:
                raise await self._refusal(path, answer)
            self._said.pop(path, None)
            yield answer

    async def _refusal(self, path: str, answer: httpx.Response) -> ParleyError:
        body = await _read(answer, ERROR_BYTES_MAX)
        error = failures.from_answer(answer.status_code, answer.headers, body, self.secrets)
        status = answer.status_code
        if error.reason == failures.MISCONFIGURED and self._said.get(path) != status:
            self._said[path] = status
            log.error(
                "the server behind this replica refuses it; look at PARLEY_SERVING_REMOTE_URL, "
                "_KEY_FILE and _MODEL",
                url=self.url,
                path=path,
                status=status,
                key_file=str(self._key_file or ""),
                model=self.model,
            )
        return error


@contextmanager
def _told() -> Iterator[None]:
    """Turns what the client raises into our errors."""
    try:
        yield
    except (httpx.ReadError, httpx.ReadTimeout, httpx.RemoteProtocolError) as error:
        raise failures.broke("broke off or fell silent") from error
    except (httpx.HTTPError, TimeoutError) as error:
        raise failures.away() from error
    except (sse.TooLong, UnicodeDecodeError) as error:
        raise failures.not_understood("sent what is no event stream") from error


async def _chunks(answer: httpx.Response) -> AsyncIterator[Any]:
    async for data in sse.events(answer.aiter_bytes()):
        if data == "[DONE]":
            return
        try:
            yield json.loads(data)
        except (ValueError, RecursionError):
            raise failures.not_understood("sent a chunk that is no JSON") from None


async def _read(answer: httpx.Response, bytes_max: int) -> bytes:
    """The body, cut off at the bound."""
    body = bytearray()
    async for chunk in answer.aiter_bytes():
        body += chunk
        if len(body) >= bytes_max:
            break
    return bytes(body[:bytes_max])


def _object(body: bytes) -> Json:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise failures.not_understood("answers with what is no JSON object")
    return told
