"""A job's events, told to everyone who watches it as soon as they are written.

However many watch a job, its new events are read once in this process; changes of another process
are found within `POLL_S`, by one request for all watched jobs. Each watcher goes at its own pace:
one that is slower than what is kept here reads the rest from the tables. With the database away,
watchers wait.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

from services.jobs import book
from services.jobs.model import Event, EventKind, Job
from services.rpc.errors import Unavailable
from services.rpc.store import Store

POLL_S = 1.0
PAGE_EVENTS = 500
RECENT_EVENTS = 1000


@dataclass
class _Feed:
    """The last events of one watched job; `revision` is the number of the newest one read."""

    revision: int
    recent: deque[Event] = field(default_factory=lambda: deque(maxlen=RECENT_EVENTS))
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    watchers: int = 0
    one: asyncio.Lock = field(default_factory=asyncio.Lock)

    def wake(self) -> None:
        """Lets everyone look."""
        self.changed.set()
        self.changed = asyncio.Event()


class Watch:
    """Those who watch jobs, and what is new."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._feeds: dict[str, _Feed] = {}
        self._told: set[str] = set()
        self._woken = asyncio.Event()
        self._closed = False

    @property
    def watchers(self) -> int:
        """How many watch."""
        return sum(feed.watchers for feed in self._feeds.values())

    def tell(self, job_id: str) -> None:
        """Says that a job was changed; call it after the commit."""
        if job_id in self._feeds:
            self._told.add(job_id)
            self._woken.set()

    def close(self) -> None:
        """Ends every watch: this process goes away."""
        self._closed = True
        for feed in self._feeds.values():
            feed.wake()

    async def run(self) -> None:
        """Looks for changes until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._woken.wait()
            self._woken.clear()
            told, self._told = self._told, set()
            try:
                for job_id in told or await self._find_changed():
                    await self._read(job_id)
            except Unavailable:
                self._told |= told

    async def follow(self, job_id: str, revision: int) -> AsyncIterator[Job | Event]:
        """Gives the job, each event behind `revision`, and once it has ended the job again.

        Raises NotFound, and Unavailable when the database or this process goes away.
        """
        job = await self._store.run(lambda tx: book.get(tx, job_id))
        yield job
        state = job.state
        feed = self._feeds.setdefault(job_id, _Feed(job.revision))
        feed.watchers += 1
        try:
            await self._read(job_id)
            while not self._closed:
                changed = feed.changed
                for event in await self._events(feed, job_id, revision):
                    revision = event.revision
                    state = event.what if event.kind is EventKind.STATE else state
                    yield event
                if revision < feed.revision:
                    continue
                if not state.ended:
                    await changed.wait()
                    continue
                job = await self._store.run(lambda tx: book.get(tx, job_id))
                if job.revision <= revision:
                    yield job
                    return
                await self._read(job_id)
        finally:
            feed.watchers -= 1
            if not feed.watchers:
                self._feeds.pop(job_id, None)
        raise Unavailable(
            "The service goes away. Ask again with the last revision.",
            reason="GOING_AWAY",
            retry_after_s=1,
        )

    async def _events(self, feed: _Feed, job_id: str, revision: int) -> list[Event]:
        if revision >= feed.revision:
            return []
        if feed.recent and feed.recent[0].revision <= revision + 1:
            return [event for event in feed.recent if event.revision > revision]
        return await self._list(job_id, revision)

    async def _find_changed(self) -> list[str]:
        if not self._feeds:
            return []
        found = await self._store.run(lambda tx: book.list_revisions(tx, list(self._feeds)))
        return [name for name, feed in self._feeds.items() if found.get(name, 0) > feed.revision]

    async def _read(self, job_id: str) -> None:
        feed = self._feeds.get(job_id)
        if feed is None:
            return
        async with feed.one:
            while events := await self._list(job_id, feed.revision):
                feed.recent.extend(events)
                feed.revision = events[-1].revision
                feed.wake()

    async def _list(self, job_id: str, after: int) -> list[Event]:
        return await self._store.run(lambda tx: book.list_events(tx, job_id, after, PAGE_EVENTS))
