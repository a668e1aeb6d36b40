"""A generation as an HTTP event stream, from waiting for admission to the last frame.

Pure ASGI, for every token passes through: one task reads and sends, so a slow client slows the
generation and nothing piles up here. Another one notices that the client has left. A failure before
the headers is raised, for an HTTP status; after them it is the last frame, without [DONE], so that
no client takes a broken answer for a whole one.
"""

from collections.abc import Callable, Sequence
from functools import partial

import structlog
from parley.serving.v1 import model_serving_pb2 as pb
from starlette.types import Message, Receive, Send

from gateway import errors, identity, metrics
from gateway.chunks import KEEP_ALIVE, Chunks, error_frame
from gateway.company import Company
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

    async def relay(self, receive: Receive, send: Send) -> None:
        """Sends the whole response. Raises ParleyError, ApiError or ClientLeft before the headers
        only; after them it never raises."""
        settings = self._settings
        company = Company(
            partial(self._speak, send),
            first_s=settings.first_event_wait_s,
            every_s=settings.keepalive_s,
        )
        try:
            async with Departure(receive):
                await self._relay(company, send)
        except errors.ClientLeft:
            metrics.DISCONNECTS.labels("streaming" if self._begun else "waiting").inc()
            if not self._begun:
                raise
        except Exception as error:
            if not self._begun:
                raise
            await company.quiet()
            await self._break_off(error, send)
        finally:
            company.close()

    async def _relay(self, company: Company, send: Send) -> None:
        started = await self._generation.begin()
        await company.quiet()
        if not self._begun:
            await self._send_headers(send, identity.headers(started))
        company.said()
        chunks = self._make_chunks(started)
        if first := chunks.first():
            await send(_piece(first))
        end = await self._pass_events(chunks, company, send)
        company.close()
        await send({"type": "http.response.body", "body": end})

    async def _pass_events(self, chunks: Chunks, company: Company, send: Send) -> bytes:
        """Relays until every choice is finished; returns what is to be sent last."""
        read, delta, said = self._generation.read, chunks.delta, company.said
        while True:
            event = await read()
            if event.HasField("delta"):
                frame = delta(event.delta)
            else:
                frame = chunks.finish(event.finished)
                if self._generation.done:
                    return frame + chunks.last(len(self._generation.migrations))
            if frame:
                said()
                await send(_piece(frame))

    async def _speak(self, send: Send) -> None:
        """Shows a client that waits that it is heard: first by the headers."""
        if not self._begun:
            await self._send_headers(send)
        await send(_piece(KEEP_ALIVE))

    async def _send_headers(self, send: Send, more: Sequence[tuple[bytes, bytes]] = ()) -> None:
        self._begun = True
        headers = [*HEADERS, *more]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

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


def _piece(frame: bytes) -> Message:
    return {"type": "http.response.body", "body": frame, "more_body": True}
