"""uvicorn's HTTP connection, with a bound on how long it waits for a reader who takes nothing.

A stream whose reader stalls holds a call through the mesh, a place among the facade's generations
and what the replica has for it. Who leaves is noticed by the connection's end; who stays and does
not read, only here.
"""

import asyncio
from functools import partial
from typing import Any

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway import metrics

log = structlog.get_logger()


class Connection(HttpToolsProtocol):
    """One connection. Cut off once the 64 KiB that it keeps for its reader have been too many for
    `send_timeout_s`: a reader of less than about 1 KiB a second, or of nothing."""

    def __init__(self, *arguments: Any, send_timeout_s: float, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._send_timeout_s = send_timeout_s
        self._late: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """Begins to count: the reader is behind."""
        super().pause_writing()
        self._late = self.loop.call_later(self._send_timeout_s, self._cut)

    def resume_writing(self) -> None:
        """Counts no more: the reader has caught up."""
        self._count_no_more()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Counts no more: there is no reader."""
        self._count_no_more()
        super().connection_lost(exc)

    def _count_no_more(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _cut(self) -> None:
        """Ends it at once: a close would wait for the reader to take the rest."""
        log.warning("reader too slow", send_timeout_s=self._send_timeout_s)
        metrics.SLOW_READERS.inc()
        self.transport.abort()


def connections(send_timeout_s: float) -> Any:
    """What uvicorn takes as its `http`."""
    return partial(Connection, send_timeout_s=send_timeout_s)
