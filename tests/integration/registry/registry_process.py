"""A registry's process as it is in use, but that its importer finds every folder done.

`python -m tests.integration.registry.registry_process`, with settings of `PARLEY_REGISTRY_*`.
"""

import asyncio
import hashlib
from dataclasses import replace

import uvloop

from services.registry import failpoints, imports, process
from services.registry.model import File, Import, ImportState
from services.registry.registering import Registrar, Registration
from services.registry.settings import Settings
from services.rpc import logs, settings
from services.rpc.store import Store
from tests.fakes.objects import FakeImporter, FakeObjects


class ReadyImporter(FakeImporter):
    """Registers what is asked for at once; goes on with what a process before it left."""

    def __init__(self, store: Store, registrar: Registrar) -> None:
        super().__init__()
        self._store = store
        self._registrar = registrar
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Has it look for imports."""
        self._wake.set()

    async def run(self) -> None:
        """Registers until cancelled."""
        while True:
            for row in await self._store.run(imports.list_running):
                version = await self._registrar.register(registration(row))
                done = replace(row, state=ImportState.DONE, number=version.number)
                await self._store.run(lambda tx, done=done: imports.update(tx, done))
            await self._wake.wait()
            self._wake.clear()


def registration(row: Import) -> Registration:
    """What an import of `row` would ask for: its files are as its folder is called."""
    digest = hashlib.sha256(row.source.encode()).hexdigest()
    return Registration(
        model=row.model,
        digest=digest,
        engine_digest=digest,
        evidence=row.evidence,
        files=(File("config.json", 1, "f" * 64, f"models/{digest}/config.json"),),
        architecture="LlamaForCausalLM",
        context_tokens_max=256,
        source=row.source,
        import_id=row.id,
        principal=row.principal,
    )


if __name__ == "__main__":
    logs.configure("registry")
    read = settings.read(Settings)
    failpoints.arm(read.fail_at)
    uvloop.run(process.serve(read, FakeObjects(), ReadyImporter))
