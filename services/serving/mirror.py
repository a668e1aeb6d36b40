"""Copies of requests for a version that nobody hears yet: run when it has time, then dropped.

A copy never holds anything up: it goes only to a version for which nothing waits, beside few
others, and ends when its version is to go.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import structlog

from services.rpc.errors import ParleyError
from services.serving.ask import Ask
from services.serving.loaded import Loaded

log = structlog.get_logger()

COPIES_MAX = 4
COPY_S_MAX = 120.0


class Mirror:
    """Runs copies."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def offer(self, original: Loaded, loaded: Loaded, ask: Callable[[], Awaitable[Ask]]) -> None:
        """Runs a copy on `loaded` unless there is no time for it."""
        busy = not (original.spare and loaded.spare) or len(self._tasks) >= COPIES_MAX
        if busy or loaded.draining:
            loaded.metrics.mirrored("skipped")
            return
        task = asyncio.get_running_loop().create_task(_run(loaded, ask))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _run(loaded: Loaded, ask: Callable[[], Awaitable[Ask]]) -> None:
    outcome = "failed"
    try:
        with loaded.hold():
            async with asyncio.timeout(COPY_S_MAX):
                whole = await _listen(loaded, await ask())
        outcome = "done" if whole else "skipped"
    except (ParleyError, TimeoutError):
        log.info("mirrored request failed", version=str(loaded.key), exc_info=True)
    except Exception:
        log.exception("mirrored request failed", version=str(loaded.key))
    finally:
        loaded.metrics.mirrored(outcome)


async def _listen(loaded: Loaded, ask: Ask) -> bool:
    """Runs to the end, unless the version is to go; says whether it did."""
    async with aclosing(loaded.generations.generate(ask)) as events:
        async for _ in events:
            if loaded.draining:
                return False
    return True
