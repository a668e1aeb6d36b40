"""HTTP replies: JSON bodies, errors in OpenAI's shape, and what streams itself."""

import json
import math
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.errors import ApiError

JSON = "application/json"


def json_reply(value: Any, status: int = 200) -> Response:
    """`value` as compact JSON in UTF-8."""
    return encoded_reply(
        json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(), status
    )


def encoded_reply(body: bytes, status: int = 200, kind: str = JSON) -> Response:
    """JSON that is already encoded; `kind` is its media type."""
    return Response(body, status, {"cache-control": "no-store"}, media_type=kind)


def error_reply(error: ApiError) -> Response:
    """An error with the headers that tell an SDK whether and when to try again."""
    reply = encoded_reply(error.body(), error.status)
    if error.retry_after_s is not None:
        reply.headers["retry-after"] = str(max(1, math.ceil(error.retry_after_s)))
        reply.headers["retry-after-ms"] = str(max(1, round(error.retry_after_s * 1000)))
    if error.retry is not None:
        reply.headers["x-should-retry"] = "true" if error.retry else "false"
    return reply


class Relayed(Response):
    """A response that sends itself."""

    background = None

    def __init__(self, relay: Callable[[Receive, Send], Awaitable[None]]) -> None:
        self._relay = relay

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._relay(receive, send)
