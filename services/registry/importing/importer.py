"""Takes imports up from their table, one at a time, and writes down how far each has come.

A row that is RUNNING is work to do, whoever began it: an import that was interrupted is taken up
again when the process starts. Knows what may fail and how that is told; knows nothing of files.
"""

import asyncio
import shutil
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import structlog

from services.registry.importing.exporter import Exporter
from services.registry.importing.folder import Limits
from services.registry.importing.hub import HubSource
from services.registry.importing.refusals import from_os_error
from services.registry.importing.sources import LocalSource, Objects, ObjectSource
from services.registry.importing.stages import STAGES, Register, Stages
from services.registry.model import Import, ImportState
from services.rpc.errors import Internal, ParleyError, ResourceExhausted, Unavailable

log = structlog.get_logger()
T = TypeVar("T")

# One at work, and this many that wait.
WAITING_MAX = 16
RETRY_AFTER_S = 30.0
TELL_INTERVAL_S = 1.0
RETRY_S_MIN, RETRY_S_MAX = 1.0, 30.0
_MESSAGES = {
    "check": "Copying and checking the files",
    "export": "Exporting for the engine, and asking it for a token",
    "store": "Storing the files",
    "register": "Registering the version",
}


class Settings(Protocol):
    """What the importer must be told."""

    @property
    def imports_dir(self) -> Path:
        """The work folder, which the importer owns."""

    @property
    def import_roots(self) -> list[Path]:
        """Folders below which local folders may be imported."""

    @property
    def hub_endpoint(self) -> str:
        """Address of the model hub."""

    @property
    def s3_bucket(self) -> str:
        """The registry's own bucket."""

    @property
    def export_timeout_s(self) -> float:
        """Longest export."""

    @property
    def import_patience_s(self) -> float:
        """Longest wait for a store that is away, after which an import fails."""


class Table(Protocol):
    """The table of imports, by transactions: the module services.registry.imports."""

    async def list_running(self, tx: Any) -> list[Import]:
        """The imports that are RUNNING, oldest first."""

    async def update(self, tx: Any, row: Import) -> None:
        """Writes how far an import has come."""


class Store(Protocol):
    """Runs work in a transaction."""

    async def run(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Raises Unavailable when the database is away."""


class Importing:
    """The imports of one registry process. `reach` hears when each stage is done, for tests."""

    def __init__(
        self, settings: Settings, store: Store, table: Table, register: Register, objects: Objects
    ) -> None:
        limits = Limits()
        sources = {
            "local_folder": LocalSource(settings.import_roots, limits),
            "s3_prefix": ObjectSource(objects, settings.s3_bucket, limits),
            "hub_id": HubSource(settings.hub_endpoint, limits),
        }
        self._work = settings.imports_dir
        self._patience_s = settings.import_patience_s
        exporter = Exporter(settings.export_timeout_s)
        self._stages = Stages(self._work, sources, exporter, objects, register)
        self._store = store
        self._table = table
        self._woken = asyncio.Event()
        self._stopped = threading.Event()

    def check(self, wanted: Import) -> None:
        """Looks at the source's name. Raises InvalidArgument or PermissionDenied."""
        self._stages.check(wanted)

    async def admit(self, tx: Any) -> None:
        """Raises ResourceExhausted when too many imports wait already."""
        if len(await self._table.list_running(tx)) > WAITING_MAX:
            raise ResourceExhausted(
                f"{WAITING_MAX} imports wait already. Try again when one is done.",
                reason="TOO_MANY_IMPORTS",
                retry_after_s=RETRY_AFTER_S,
            )

    def wake(self) -> None:
        """Says that there may be a new row."""
        self._woken.set()

    async def run(self) -> None:
        """Works until cancelled; what is at work then goes on when a process starts again."""
        try:
            await self._sweep()
            while True:
                self._woken.clear()
                rows = await self._patiently(lambda: self._store.run(self._table.list_running))
                if rows:
                    await self._carry(rows[0])
                else:
                    await self._woken.wait()
        finally:
            # Threads cannot be cancelled; the one at work hears of it at its next report.
            self._stopped.set()

    async def _sweep(self) -> None:
        """Removes the work folders of imports that are over."""
        self._work.mkdir(mode=0o700, parents=True, exist_ok=True)
        rows = await self._patiently(lambda: self._store.run(self._table.list_running))
        running = {row.id for row in rows}
        for folder in self._work.iterdir():
            if folder.name not in running:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _carry(self, row: Import) -> None:
        """Brings one import to its end, and writes that down."""
        telling = Telling(row, self._stopped, self._write)
        try:
            number = await telling.during(self._retried(row, telling))
            done = replace(row, state=ImportState.DONE, stage="register", fraction=1.0)
            row = replace(done, message=f"This is version {number}.", number=number)
        except ParleyError as error:
            log.warning("import failed", id=row.id, model=row.model, reason=error.reason)
            told = replace(telling.row, state=ImportState.FAILED, message=error.message)
            row = replace(told, reason=error.reason)
        await self._patiently(lambda: self._write(row))
        await asyncio.to_thread(shutil.rmtree, self._work / row.id, ignore_errors=True)

    async def _retried(self, row: Import, telling: "Telling") -> int:
        """Runs the stages, again while a store is away. Raises ParleyErrors only."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._patience_s
        delay_s = RETRY_S_MIN
        while True:
            try:
                return await self._stages.run(row, telling.report)
            except Unavailable as error:
                if loop.time() + delay_s > give_up:
                    raise
                telling.wait(f"Waiting: {error.message}")
            except ParleyError:
                raise
            except OSError as error:
                raise from_os_error(error) or _unexpected(row, error) from error
            except Exception as error:
                raise _unexpected(row, error) from error
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, RETRY_S_MAX)

    async def _write(self, row: Import) -> None:
        await self._store.run(lambda tx: self._table.update(tx, row))

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """Does what needs the database, again until it is there."""
        delay_s = RETRY_S_MIN
        while True:
            try:
                return await work()
            except Unavailable:
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, RETRY_S_MAX)


class Stopped(Exception):
    """The process is going away."""


class Telling:
    """How far an import has come: heard from any thread, written down once a second at most."""

    def __init__(
        self,
        row: Import,
        stopped: threading.Event,
        write: Callable[[Import], Awaitable[None]],
    ) -> None:
        self.row = row
        self._stopped = stopped
        self._write = write

    def report(self, stage: str, share: float) -> None:
        """Hears of a stage's share. Raises Stopped when the process is going away."""
        if self._stopped.is_set():
            raise Stopped
        names = list(STAGES)
        start = STAGES[names[names.index(stage) - 1]] if stage != names[0] else 0.0
        fraction = start + (STAGES[stage] - start) * min(1.0, max(0.0, share))
        self.row = replace(self.row, stage=stage, fraction=fraction, message=_MESSAGES[stage])

    def wait(self, message: str) -> None:
        """Says what the import waits for."""
        self.row = replace(self.row, message=message)

    async def during(self, work: Awaitable[T]) -> T:
        """Does the work, and writes down what is reported meanwhile."""
        writing = asyncio.create_task(self._keep_writing())
        try:
            return await work
        finally:
            writing.cancel()
            with suppress(asyncio.CancelledError):
                await writing

    async def _keep_writing(self) -> None:
        written = self.row
        while True:
            await asyncio.sleep(TELL_INTERVAL_S)
            if self.row != written:
                written = self.row
                with suppress(Unavailable):
                    await self._write(written)


def _unexpected(row: Import, error: Exception) -> Internal:
    log.error("import broke", id=row.id, model=row.model, exc_info=error)
    return Internal(
        "The import broke over something unexpected; the registry's log has the rest under the "
        f"import's id {row.id}.",
        reason="IMPORT_BROKE",
    )
