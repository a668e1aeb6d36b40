"""A server with OpenAI's HTTP interface that says what a test has written down, and no more.

It keeps what it was asked, and knows which of its callers have left.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
Send = Callable[[Json], Awaitable[None]]
Receive = Callable[[], Awaitable[Json]]
MODEL = "org/tiny"
STREAM = "text/event-stream"
WAIT_S = 10


@dataclass(frozen=True)
class Reply:
    """One answer: `frames` are objects, or bytes as they go on the wire.

    After them the stream ends; `cut` breaks the connection instead. Where it is `held`, it waits
    before the frames of `after` until the caller leaves or the test lets go.
    """

    frames: Sequence[Json | bytes] = ()
    status: int = 200
    headers: Json = field(default_factory=dict)
    media: str = STREAM
    cut: bool = False
    held: bool = False
    after: Sequence[Json | bytes] = ()


def chunk(text: str = "", **rest: Any) -> Json:
    """A chunk of a chat."""
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None} | rest]}


def end(tokens: int, prompt: int = 5, reason: str = "stop") -> list[Json | bytes]:
    """A finish chunk, the usage and [DONE]."""
    usage = {"prompt_tokens": prompt, "completion_tokens": tokens}
    return [chunk(finish_reason=reason), {"choices": [], "usage": usage}, b"data: [DONE]\n\n"]


def refusal(status: int, error: Any, **headers: str) -> Reply:
    """An answer that is none."""
    body = json.dumps(error).encode()
    return Reply([body], status, headers, media="application/json")


class FakeOpenAI:
    """The server. Each request to generate takes the next of `replies`; the last one stays."""

    def __init__(self) -> None:
        self.models: list[Json] = [{"id": MODEL, "owned_by": "vllm", "max_model_len": 512}]
        self.replies: list[Reply] = [Reply([chunk("hi"), *end(2)])]
        self.listing: Reply | None = None
        self.bodies: list[Json] = []
        self.paths: list[str] = []
        self.keys: list[str] = []
        self.request_ids: list[str] = []
        self.open = 0
        self.left = asyncio.Event()
        self.released = asyncio.Event()

    async def __call__(self, scope: Json, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        headers = dict(scope["headers"])
        if scope["method"] == "GET":
            reply = self.listing or Reply([_json({"data": self.models})], media="application/json")
        else:
            self.keys.append(headers.get(b"authorization", b"").decode())
            self.request_ids.append(headers.get(b"x-request-id", b"").decode())
            self.paths.append(scope["path"])
            self.bodies.append(json.loads(await _body(receive)))
            reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        self.open += 1
        try:
            await self._answer(reply, receive, send)
        finally:
            self.open -= 1

    async def _answer(self, reply: Reply, receive: Receive, send: Send) -> None:
        told = {"content-type": reply.media, **reply.headers}
        lines = [(name.replace("_", "-").encode(), value.encode()) for name, value in told.items()]
        await send({"type": "http.response.start", "status": reply.status, "headers": lines})
        await _send_all(reply.frames, send)
        if reply.held:
            await self._hold(receive)
        await _send_all(reply.after, send)
        if not reply.cut:
            await send({"type": "http.response.body", "body": b""})

    async def _hold(self, receive: Receive) -> None:
        waits = [asyncio.ensure_future(receive()), asyncio.ensure_future(self.released.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED, timeout=WAIT_S)
        if waits[0].done():
            self.left.set()
        for wait in waits:
            wait.cancel()


async def _send_all(frames: Sequence[Json | bytes], send: Send) -> None:
    for frame in frames:
        body = frame if isinstance(frame, bytes) else b"data: " + _json(frame) + b"\n\n"
        await send({"type": "http.response.body", "body": body, "more_body": True})


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        part = await receive()
        body, more = body + part.get("body", b""), part.get("more_body", False)
    return body


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
