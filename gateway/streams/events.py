"""A job's messages as server-sent events.

A failure before the first message is raised, for an HTTP status; after it, it is a `problem` event
and the end. A stream that ends without `end` or `problem` is to be taken up again by its last id.
"""

import asyncio
import json
from collections.abc import AsyncGenerator

from google.protobuf.message import Message
from starlette.types import Receive, Send

from gateway import errors, problems
from gateway.api.messages import to_json
from gateway.chunks import KEEP_ALIVE
from gateway.departure import Departure
from gateway.sse import HEADERS
from gateway.streams.watch import END, JOB, Told
from services.rpc.errors import DeadlineExceeded, ParleyError

FIRST_S = 10.0
RETRY = b"retry: 1000\n\n"
PROBLEM = "problem"


class JobEvents:
    """Relays one job's messages. Made for one request, used once.

    `stopping` is set when the facade drains: the stream ends at once, for it goes on elsewhere.
    """

    def __init__(
        self,
        messages: AsyncGenerator[Told],
        keepalive_s: float,
        stopping: asyncio.Event,
        request_id: str,
    ) -> None:
        self._messages = messages
        self._keepalive_s = keepalive_s
        self._stopping = stopping
        self._request_id = request_id
        self._begun = False

    async def relay(self, receive: Receive, send: Send) -> None:
        """Sends the whole response. Raises ParleyError, ApiError or ClientLeft before the headers
        only."""
        end = b""
        try:
            async with Departure(receive):
                await self._relay(send)
        except errors.ClientLeft:
            if not self._begun:
                raise
        except (ParleyError, errors.ApiError) as error:
            if not self._begun:
                raise
            end = self._problem_frame(error)
        await send({"type": "http.response.body", "body": end})

    async def _relay(self, send: Send) -> None:
        stopping = asyncio.create_task(self._stopping.wait())
        reading = asyncio.create_task(self._next())
        try:
            while not self._stopping.is_set():
                wait_s = self._keepalive_s if self._begun else FIRST_S
                await asyncio.wait(
                    {reading, stopping}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED
                )
                if not reading.done():
                    await self._keep_company(send)
                    continue
                told = reading.result()
                if told is None:
                    return
                await self._send(send, frame(*told))
                reading = asyncio.create_task(self._next())
        finally:
            stopping.cancel()
            reading.cancel()
            await asyncio.wait({stopping, reading})
            await self._messages.aclose()

    async def _next(self) -> Told | None:
        return await anext(self._messages, None)

    async def _keep_company(self, send: Send) -> None:
        if self._stopping.is_set():
            if not self._begun:
                raise errors.shutting_down()
        elif self._begun:
            await self._send(send, KEEP_ALIVE)
        else:
            raise DeadlineExceeded("No job came.", reason="DEADLINE_EXCEEDED")

    async def _send(self, send: Send, body: bytes) -> None:
        if not self._begun:
            self._begun = True
            await send({"type": "http.response.start", "status": 200, "headers": [*HEADERS]})
            body = RETRY + body
        await send({"type": "http.response.body", "body": body, "more_body": True})

    def _problem_frame(self, error: ParleyError | errors.ApiError) -> bytes:
        is_ours = isinstance(error, errors.ApiError)
        told = problems.of_api_error(error) if is_ours else problems.of_service(error)
        return _frame(PROBLEM, told.body(self._request_id))


def frame(kind: str, message: Message) -> bytes:
    """One event. Events of the job have its revision as their id; the job itself has none, so that
    a reader's last id stays that of the last event."""
    head = b"" if kind in (JOB, END) else b"id: %d\n" % message.revision
    return head + _frame(kind, to_json(message))


def _frame(kind: str, value: object) -> bytes:
    data = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return f"event: {kind}\ndata: {data}\n\n".encode()
