"""An object store and an importer that only keep what the registry's core asks of them."""

import asyncio
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry import imports
from services.registry.model import Import
from services.rpc.errors import PermissionDenied, ResourceExhausted, Unavailable

IMPORTS_MAX = 2


@dataclass
class FakeObjects:
    """Keys, and nothing in them."""

    keys: set[str] = field(default_factory=set)
    down: bool = False
    frozen: bool = False

    async def check(self) -> None:
        """Is away, or hangs, when told."""
        if self.frozen:
            await asyncio.Event().wait()
        if self.down:
            raise Unavailable("Away.", reason="OBJECT_STORE_UNAVAILABLE")

    async def presign(self, key: str) -> str:
        """Makes an address."""
        return f"http://objects/{key}?signed"

    async def list_folders(self, prefix: str) -> list[str]:
        """Lists the names right below a prefix."""
        below = {key.removeprefix(prefix) for key in self.keys if key.startswith(prefix)}
        return sorted({name.split("/")[0] for name in below if "/" in name})

    async def remove_folder(self, prefix: str) -> None:
        """Removes all below a prefix."""
        self.keys = {key for key in self.keys if not key.startswith(prefix)}


@dataclass
class FakeImporter:
    """Takes wishes, and never does anything."""

    woken: int = 0

    def check(self, wanted: Import) -> None:
        """Refuses one folder."""
        if wanted.source == "/root":
            raise PermissionDenied("Not that folder.", reason="FOLDER_NOT_READABLE")

    async def admit(self, tx: AsyncConnection) -> None:
        """Takes two at a time."""
        if len(await imports.list_running(tx)) >= IMPORTS_MAX:
            raise ResourceExhausted("Full.", reason="TOO_MANY_IMPORTS")

    def wake(self) -> None:
        """Counts."""
        self.woken += 1

    async def run(self) -> None:
        """Does nothing."""
