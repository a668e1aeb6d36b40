"""Runs the registry: `python -m services.registry`."""

import uvloop

from services.registry import failpoints, process
from services.registry.importing.importer import Importing
from services.registry.object_store import ObjectStore
from services.registry.settings import Settings
from services.rpc import logs, metrics, settings


async def main(chosen: Settings) -> None:
    """Serves until a signal, then drains."""
    objects = ObjectStore(chosen)
    await process.serve(
        chosen, objects, lambda store, registrar: Importing(chosen, store, registrar, objects)
    )


if __name__ == "__main__":
    logs.configure("registry")
    read = settings.read(Settings)
    failpoints.arm(read.fail_at)
    metrics.expose(read.metrics_port)
    uvloop.run(main(read))
