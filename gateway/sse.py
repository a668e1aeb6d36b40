"""A generation as an HTTP event stream, from waiting for admission to the last frame.

Pure ASGI, for every token passes through: one task reads and sends, so a slow client slows the
generation and nothing piles up here. Two more sleep beside it: one notices that the client has
left, one breaks a long silence. A failure before the headers is raised, for an HTTP status; after
them it is the last frame, without [DONE], so that no client takes a broken answer for a whole one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog
from parley.serving.v1 import model_serving_pb2 as pb
from starlette.types import Receive, Send

from gateway import errors, identity, metrics
from gateway.chunks import KEEP_ALIVE, Chunks, error_frame
from gateway.departure import Departure
from gateway.generation import Generation
from gateway.settings import GatewaySettings
from services.rpc.errors import ParleyError

log = structlog.get_logger()

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    # Proxies that buffer by default are asked not to.
    (b"x-accel-buffering", b"no"),
]


class EventStream:
    """Relays one generation. Made for one request, used once."""

    def __init__(
        self,
        generation: Generation,
        make_chunks: Callable[[pb.Started], Chunks],
        names: errors.Names,
        settings: GatewaySettings,
    ) -> None:
        self._generation = generation
        self._make_chunks = make_chunks
        self._names = names
        self._settings = settings
        self._begun = False
        self._sent_s = asyncio.get_running_loop().time()
        self._heart: asyncio.Task[None] | None = None

    async def relay(self, receive: Receive, send: Send) -> None:
        """Sends the whole response. Raises ParleyError, ApiError or ClientLeft before the headers
        only; after them it never raises."""
        try:
            async with Departure(receive):
                await self._relay(send)
        except errors.ClientLeft:
            metrics.DISCONNECTS.labels("streaming" if self._begun else "waiting").inc()
            if not self._begun:
                raise
        except Exception as error:
            if not self._begun:
                raise
            await self._break_off(error, send)

    async def _relay(self, send: Send) -> None:
        try:
            chunks = self._make_chunks(await self._admitted(send))
            if first := chunks.first():
                await self._send(send, first)
            end = await self._pass_events(chunks, send)
        finally:
            if self._heart is not None:
                self._heart.cancel()
        await send({"type": "http.response.body", "body": end})

    async def _admitted(self, send: Send) -> pb.Started:
        """Waits for Started, and after a while sends the headers and keeps the client company."""
        beginning = asyncio.create_task(self._generation.begin())
        try:
            await asyncio.wait({beginning}, timeout=self._settings.first_event_wait_s)
            if beginning.done():
                started = beginning.result()
                await self._send_headers(send, identity.headers(started))
                return started
            await self._send_headers(send)
            await self._send(send, KEEP_ALIVE)
            return await beginning
        finally:
            beginning.cancel()

    async def _pass_events(self, chunks: Chunks, send: Send) -> bytes:
        """Relays until every choice is finished; returns what is to be sent last."""
        read, delta = self._generation.read, chunks.delta
        now_s = asyncio.get_running_loop().time
        while True:
            event = await read()
            if event.HasField("delta"):
                frame = delta(event.delta)
            else:
                frame = chunks.finish(event.finished)
                if self._generation.done:
                    return frame + chunks.last(len(self._generation.migrations))
            if frame:
                self._sent_s = now_s()
                await send({"type": "http.response.body", "body": frame, "more_body": True})

    async def _send_headers(self, send: Send, more: Sequence[tuple[bytes, bytes]] = ()) -> None:
        self._begun = True
        headers = [*HEADERS, *more]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        self._heart = asyncio.create_task(self._beat(send))

    def _send(self, send: Send, frame: bytes) -> Awaitable[None]:
        self._sent_s = asyncio.get_running_loop().time()
        return send({"type": "http.response.body", "body": frame, "more_body": True})

    async def _beat(self, send: Send) -> None:
        """Says something whenever nothing was said for `keepalive_s`."""
        now_s = asyncio.get_running_loop().time
        while True:
            silent_s = now_s() - self._sent_s
            if silent_s >= self._settings.keepalive_s:
                await self._send(send, KEEP_ALIVE)
            else:
                await asyncio.sleep(self._settings.keepalive_s - silent_s)

    async def _break_off(self, error: Exception, send: Send) -> None:
        told = self._explain(error)
        log.warning("stream broken", code=told.code, reason=getattr(error, "reason", None))
        metrics.BROKEN_STREAMS.labels(told.code).inc()
        await send({"type": "http.response.body", "body": error_frame(told.body())})

    def _explain(self, error: Exception) -> errors.ApiError:
        if isinstance(error, errors.ApiError):
            return error
        if isinstance(error, ParleyError):
            return errors.to_api_error(error, self._names)
        log.error("relaying failed", exc_info=error)
        return errors.unexpected()
