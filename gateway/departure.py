"""Notices that a client has left, in every phase of its request.

Reads only ASGI's `http.disconnect`; does not know what is being done for the client.
"""

import asyncio
from contextlib import suppress
from types import TracebackType

from starlette.types import Receive

from gateway import errors


class Departure:
    """Cancels the body of `async with` when the client leaves, and raises ClientLeft then.

    The request's body must have been read before. A cancellation from elsewhere can only be the
    server's end, and becomes the error that says so.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._gone = False

    async def __aenter__(self) -> None:
        self._task = asyncio.current_task()
        self._watcher = asyncio.create_task(self._watch())

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._watcher.cancel()
        # Its traceback leads back here: without this the whole request would be a cycle, which only
        # the garbage collector ends.
        del self._watcher
        if self._gone:
            await self._settle(kind)
            raise errors.ClientLeft from None
        if kind is asyncio.CancelledError:
            raise errors.shutting_down() from None

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        self._task.cancel()

    async def _settle(self, kind: type[BaseException] | None) -> None:
        """Takes back the cancellation, also one that the body did not live to see."""
        if kind is not asyncio.CancelledError:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
        self._task.uncancel()
