"""Runs the registry: `python -m services.registry`."""

from typing import Any

import uvloop

from services.registry import failpoints, imports, process, s3_credentials
from services.registry.importing.importer import Importing
from services.registry.model import Version
from services.registry.object_store import S3ObjectStore
from services.registry.registering import Registrar, Registration
from services.registry.settings import Settings
from services.rpc import logs, metrics, settings
from services.rpc.store import Store


async def main(chosen: Settings) -> None:
    """Serves until a signal, then drains."""
    objects = S3ObjectStore(
        chosen.s3_endpoint,
        chosen.s3_bucket,
        s3_credentials.read(chosen.s3_credentials_file),
        region=chosen.s3_region,
        timeout_s=chosen.store_timeout_s,
    )

    def make_importer(store: Store, registrar: Registrar) -> Importing:
        async def register(**fields: Any) -> Version:
            return await registrar.register(Registration(**fields))

        return Importing(chosen, store, imports, register, objects)

    await process.serve(chosen, objects, make_importer)
    objects.close()


if __name__ == "__main__":
    logs.configure("registry")
    read = settings.read(Settings)
    failpoints.arm(read.fail_at)
    metrics.expose(read.metrics_port)
    uvloop.run(main(read))
