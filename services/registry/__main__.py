"""Runs the registry: `python -m services.registry`."""

from typing import Any

import uvloop

from services.objects import s3_credentials
from services.objects.object_store import S3ObjectStore
from services.registry import failpoints, imports, process
from services.registry.importing.importer import Importing
from services.registry.model import Version
from services.registry.registering import Registrar, Registration
from services.registry.settings import Settings
from services.rpc import logs, metrics, settings
from services.rpc.store import Store


class Register:
    """The registrar, as the importer asks it."""

    def __init__(self, registrar: Registrar) -> None:
        self.find = registrar.find
        self._register = registrar.register

    async def __call__(self, **fields: Any) -> Version:
        """Makes a version."""
        return await self._register(Registration(**fields))


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
        return Importing(chosen, store, imports, Register(registrar), objects)

    await process.serve(chosen, objects, make_importer)
    objects.close()


if __name__ == "__main__":
    logs.configure("registry")
    read = settings.read(Settings)
    failpoints.arm(read.fail_at)
    metrics.expose(read.metrics_port)
    uvloop.run(main(read))
