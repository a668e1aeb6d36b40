"""What every request and reply has: a request id, its headers, and its metrics.

The outermost ASGI layer. Costs a comparison per message, for tokens pass through it.
"""

import time
from collections.abc import Awaitable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import metrics
from services.rpc import logs

# The date of OpenAI's API that the wire keeps to, as its SDKs expect to read it.
OPENAI_VERSION = b"2020-10-01"
_REQUEST_ID = logs.REQUEST_ID_KEY.encode()


class Envelope:
    """Wraps the application. Puts `scope["request_id"]` there for what is inside."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        arrived_s = time.perf_counter()
        request_id = scope["request_id"] = logs.bind_request_id(_given_id(scope))

        def relay(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                taken_s = time.perf_counter() - arrived_s
                _measure(scope, message["status"], taken_s)
                message["headers"] = [*message["headers"], *_headers(request_id, taken_s)]
            return send(message)

        return await self.app(scope, receive, relay)


def _given_id(scope: Scope) -> str | None:
    return next(
        (value.decode("latin-1") for name, value in scope["headers"] if name == _REQUEST_ID), None
    )


def _headers(request_id: str, taken_s: float) -> list[tuple[bytes, bytes]]:
    return [
        (_REQUEST_ID, request_id.encode()),
        (b"openai-processing-ms", str(round(taken_s * 1000)).encode()),
        (b"openai-version", OPENAI_VERSION),
        (b"x-content-type-options", b"nosniff"),
    ]


def _measure(scope: Scope, status: int, taken_s: float) -> None:
    route = getattr(scope.get("route"), "path", "other")
    metrics.REQUESTS.labels(route, status).inc()
    metrics.FIRST_BYTE.labels(route).observe(taken_s)
