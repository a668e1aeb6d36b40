"""Breaks a long silence, so that neither a client nor a proxy gives a quiet stream up.

A timer that is set anew only when it fires, and a task only for what it says: a task that waits
beside every stream ends in a traceback, which holds all of the stream's request.
"""

import asyncio
from collections.abc import Awaitable, Callable


class Company:
    """Calls `speak` whenever nothing was said for a while. Close it when the stream ends."""

    def __init__(
        self, speak: Callable[[], Awaitable[None]], *, first_s: float, every_s: float
    ) -> None:
        """It speaks `first_s` from now at first, unless `said` comes before, then `every_s` after
        whatever was said last."""
        self._speak = speak
        self._every_s = every_s
        self._loop = asyncio.get_running_loop()
        self._speaks_s = self._loop.time() + first_s
        self._timer = self._loop.call_at(self._speaks_s, self._look)
        self._speaking: asyncio.Task[None] | None = None

    def said(self) -> None:
        """Counts the silence from now."""
        self._speaks_s = self._loop.time() + self._every_s

    async def quiet(self) -> None:
        """Waits until it does not speak, which is when others may: one message at a time."""
        if self._speaking is not None:
            await self._speaking

    def close(self) -> None:
        """Speaks no more. Safe to repeat."""
        self._timer.cancel()
        if self._speaking is not None:
            self._speaking.cancel()

    def _look(self) -> None:
        if self._speaks_s <= self._loop.time():
            self.said()
            if self._speaking is None:
                self._speaking = self._loop.create_task(self._say())
        self._timer = self._loop.call_at(self._speaks_s, self._look)

    async def _say(self) -> None:
        try:
            await self._speak()
        finally:
            self._speaking = None
