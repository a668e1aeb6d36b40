"""Makes what is loaded follow what is wanted: fetches, loads, switches, drains and unloads.

The plan is `planning.plan`'s, asked again at each change; what must wait runs in tasks, one a
version at most. What fails is tried again after a while that doubles, and nothing else waits for
it.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from services.serving.failures import RETRY_S_MIN, Failures
from services.serving.loaded import Loaded
from services.serving.loader import Loader
from services.serving.planning import Action, Fetch, Held, Load, Refuse, Revive, Unload, plan
from services.serving.replica import ENGINE_KEEPS_DYING, Note, Replica
from services.serving.routing import Phase
from services.serving.source import Source, SourceError
from services.serving.wanted import Key, State, Version

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Stored:
    """A version whose files are here."""

    folder: Path
    memory_bytes: int


class Keeper:
    """Changes a replica as its source says. Without a budget everything is taken to fit.

    `unload_s` is the longest wait for the streams of a version that is unloaded.
    """

    def __init__(
        self,
        replica: Replica,
        source: Source,
        loader: Loader,
        *,
        budget_bytes: int | None,
        unload_s: float,
        retry_s_min: float = RETRY_S_MIN,
    ) -> None:
        self._replica = replica
        self._source = source
        self._loader = loader
        self._budget_bytes = budget_bytes
        self._unload_s = unload_s
        self._tell: Callable[[], None] = lambda: None
        self._wake = asyncio.Event()
        self._begun = asyncio.Event()
        self._main: list[asyncio.Task[None]] = []
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._stored: dict[Key, _Stored] = {}
        self._failures = Failures(retry_s_min, self._wake.set)
        self._refusals: dict[Key, str] = {}

    def start(self, on_change: Callable[[], None]) -> None:
        """Begins; `on_change` is called whenever the replica's `serving` may have changed."""
        self._tell = on_change
        loop = asyncio.get_running_loop()
        work = (self._keep_following(), self._keep_working())
        self._main = [loop.create_task(one) for one in work]

    async def begun(self) -> None:
        """Waits until a version's engine is started. Raises ValueError when none can be."""
        await self._begun.wait()
        for detail in self._failures.details.values():
            raise ValueError(detail)

    async def close(self) -> None:
        """Ends everything, also all engines."""
        self._failures.keep_only(())
        tasks = [*self._main, *self._tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(loaded.close() for loaded in self._replica.versions.values()))
        await self._source.close()

    def _on_state(self, state: State) -> None:
        log.info("state", revision=state.revision, models=[table.model for table in state.tables])
        self._replica.want(state)
        self._on_change()

    def _on_change(self) -> None:
        """Something is ready, gone or wanted: tables switch at once, work is planned soon."""
        self._replica.settle()
        self._tell()
        self._wake.set()

    async def _keep_following(self) -> None:
        while True:
            try:
                await self._source.follow(self._on_state)
                return
            except Exception:
                # A state that cannot be read must not be the last one.
                log.exception("following failed")
            await asyncio.sleep(RETRY_S_MIN)

    async def _keep_working(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                self._work()
            except Exception:
                # Whatever it was, what is loaded goes on, and the next change is looked at.
                log.exception("planning failed")

    def _work(self) -> None:
        state = self._replica.wanted
        if state is None:
            return
        versions = {one.key: one for table in state.tables for one in table.versions}
        self._forget_unwanted(versions)
        self._take_away_broken()
        self._refusals.clear()
        for action in plan(state, self._held(), self._replica.active, self._budget_bytes):
            self._do(action, versions)
        needed = {version.key for table in state.tables for version in table.needed()}
        self._replica.notes = self._notes(needed)
        self._replica.settle()
        self._tell()

    def _forget_unwanted(self, versions: dict[Key, Version]) -> None:
        self._failures.keep_only(versions)
        loaded = self._replica.versions
        for key, task in self._tasks.items():
            if key not in versions and key not in loaded:
                task.cancel()
        for key in [key for key in self._stored if key not in versions and key not in loaded]:
            del self._stored[key]

    def _take_away_broken(self) -> None:
        """A version that never came up, beside one that serves, is tried again as a whole."""
        for key, loaded in self._replica.versions.items():
            if loaded.proven:
                self._failures.clear(key)
            elif loaded.phase is Phase.BROKEN and key not in self._replica.active:
                self._fail(key, ENGINE_KEEPS_DYING)
                loaded.closing = True
                self._spawn(key, self._end(loaded))

    def _held(self) -> dict[Key, Held]:
        held = {key: Held(Phase.STORED, one.memory_bytes) for key, one in self._stored.items()}
        for key in self._tasks:
            stored = self._stored.get(key)
            held[key] = Held(Phase.LOADING, stored.memory_bytes) if stored else Held(Phase.FETCHING)
        for key in self._failures.details:
            # What is fetched again should hold up nothing else.
            if self._failures.waits(key) or held.get(key) == Held(Phase.FETCHING):
                held[key] = Held(Phase.FAILED)
        return held | self._replica.held()

    def _notes(self, needed: set[Key]) -> dict[Key, Note]:
        """What to say of each version; the last failure also while it is tried again."""
        notes = {
            key: Note(Phase.STORED, "waits for memory that others give back")
            for key in self._stored
            if key in needed
        }
        for key in self._tasks:
            notes[key] = (
                Note(Phase.STORED, "its engine is being started")
                if key in self._stored
                else Note(Phase.FETCHING, "its files are being fetched")
            )
        for key, detail in self._refusals.items():
            notes[key] = Note(Phase.FAILED, detail)
        notes = {key: one for key, one in notes.items() if key not in self._replica.versions}
        for key, detail in self._failures.details.items():
            notes[key] = Note(Phase.FAILED, detail)
        return notes

    def _do(self, action: Action, versions: dict[Key, Version]) -> None:
        loaded = self._replica.versions.get(action.key)
        log.info("planned", action=type(action).__name__.lower(), version=str(action.key))
        match action:
            case Fetch(key):
                self._spawn(key, self._fetch(versions[key], [*versions.values()]))
            case Load(key):
                self._spawn(key, self._load(versions[key]))
            case Unload() if loaded:
                self._unload(loaded)
            case Revive(key) if loaded and not loaded.closing:
                self._tasks[key].cancel()
                loaded.draining = False
            case Refuse(key, detail):
                self._refusals[key] = detail

    def _spawn(self, key: Key, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[key] = task

        def ended(_: asyncio.Task[None]) -> None:
            if self._tasks.get(key) is task:
                del self._tasks[key]
            self._on_change()

        task.add_done_callback(ended)

    async def _fetch(self, version: Version, wanted: list[Version]) -> None:
        key = version.key
        used = [*wanted, *(loaded.version for loaded in self._replica.versions.values())]
        try:
            folder = await self._source.fetch(version, used)
            memory_bytes = await asyncio.to_thread(self._loader.measure, folder)
        except (SourceError, OSError) as error:
            self._fail(key, str(error))
        except Exception as error:
            log.exception("fetching failed", version=str(key))
            self._fail(key, f"its files could not be fetched: {error!r}")
        else:
            self._stored[key] = _Stored(folder, memory_bytes)

    async def _load(self, version: Version) -> None:
        key = version.key
        try:
            loaded = await self._loader.load(version, self._stored[key].folder)
        except Exception as error:
            log.exception("loading failed", version=str(key))
            self._fail(key, f"it could not be loaded: {error}")
            # Perhaps the files are no good any more: they are looked at again.
            self._stored.pop(key, None)
            return
        self._replica.versions[key] = loaded
        loaded.start(self._on_change)
        self._begun.set()

    def _unload(self, loaded: Loaded) -> None:
        loaded.draining = True
        self._spawn(loaded.key, self._drain(loaded))

    async def _drain(self, loaded: Loaded) -> None:
        await loaded.drain(self._unload_s)
        await self._end(loaded)

    async def _end(self, loaded: Loaded) -> None:
        try:
            await loaded.close()
        finally:
            del self._replica.versions[loaded.key]
        log.info("unloaded", version=str(loaded.key))

    def _fail(self, key: Key, detail: str) -> None:
        retry_s = self._failures.add(key, detail)
        log.error("version failed", version=str(key), detail=detail, retry_s=retry_s)
        self._begun.set()
