"""What surrounds the importer, in memory: its settings, the table of imports, the registrar."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.registry.model import Import, ImportState, Version, VersionState
from services.rpc.errors import Unavailable

WAIT_S = 20.0


@dataclass
class Settings:
    """See importer.Settings."""

    imports_dir: Path
    import_roots: list[Path]
    hub_endpoint: str = "http://127.0.0.1:1"
    s3_bucket: str = "parley"
    export_timeout_s: float = 60
    import_patience_s: float = 60


@dataclass
class Rows:
    """The store and the table: a transaction is the table itself."""

    rows: dict[str, Import] = field(default_factory=dict)
    outages: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        if self.outages:
            self.outages -= 1
            raise Unavailable("the database is away", reason="DATABASE_UNAVAILABLE")
        return await work(self)

    async def list_running(self, tx: Any) -> list[Import]:
        return [row for row in self.rows.values() if row.state is ImportState.RUNNING]

    async def update(self, tx: Any, row: Import) -> None:
        self.rows[row.id] = row
        self.changed.set()

    async def over(self, import_id: str, within_s: float = WAIT_S) -> Import:
        """Waits for the end of an import."""
        async with asyncio.timeout(within_s):
            while self.rows[import_id].state is ImportState.RUNNING:
                self.changed.clear()
                await self.changed.wait()
        return self.rows[import_id]


@dataclass
class Registrar:
    """Gives numbers, the same one for the same files."""

    seen: list[dict[str, Any]] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    made: dict[tuple[str, str, str], Version] = field(default_factory=dict)

    async def __call__(self, **fields: Any) -> Version:
        if self.failures:
            raise self.failures.pop()
        self.seen.append(fields)
        model, files = fields["model"], fields["files"]
        digests = fields["digest"], fields["engine_digest"]
        version = Version(model, 7, VersionState.READY, *digests, fields["evidence"], files)
        self.made[model, fields["digest"], fields["evidence"].run_id] = version
        return version

    async def find(self, model: str, digest: str, run_id: str) -> Version | None:
        return self.made.get((model, digest, run_id))
