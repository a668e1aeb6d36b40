"""Puts the registry's parts together and runs them until a signal.

Knows no implementation of the object store or the importer: `__main__` brings them.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import structlog
from parley.registry.v1 import registry_pb2_grpc as pb_grpc

from services.registry.alignment import Alignment
from services.registry.canary.driver import Driver
from services.registry.canary.judging import Limits
from services.registry.canary.mesh import MeshReader
from services.registry.database import open_store
from services.registry.mlflow_adapter import Mlflow
from services.registry.objects import Objects
from services.registry.reconciler import Reconciler
from services.registry.registering import Registrar
from services.registry.servicer import SERVICE, Importer, Parts, Servicer
from services.registry.settings import Settings
from services.registry.watch import Watch
from services.rpc.mlflow_wire import MlflowWire
from services.rpc.server import Server, run
from services.rpc.store import Store

log = structlog.get_logger()

# MLflow is asked within transactions: its silence should be heard before theirs is.
MLFLOW_SHARE = 0.8
# Who asks for a comparison hears of a store that is away within the timeout, on a busy machine too.
FIRST_ANSWER_SHARE = 0.6


class RunningImporter(Importer, Protocol):
    """An importer with a life of its own."""

    async def run(self) -> None:
        """Imports until cancelled."""


MakeImporter = Callable[[Store, Registrar], RunningImporter]


@dataclass(frozen=True, slots=True)
class Registry:
    """A registry that listens."""

    server: Server
    store: Store
    mlflow: Mlflow
    registrar: Registrar
    watch: Watch
    reconciler: Reconciler
    importer: RunningImporter
    canaries: Driver

    async def work(self) -> None:
        """Opens the database and does what goes on by itself, until cancelled."""
        await self.store.open()
        await self.server.set_serving(True)
        await asyncio.gather(
            self.watch.run(), self.reconciler.run(), self.importer.run(), self.canaries.run()
        )


@asynccontextmanager
async def start(
    chosen: Settings, objects: Objects, make_importer: MakeImporter
) -> AsyncIterator[Registry]:
    """Listens at once, and answers UNAVAILABLE until the database is there and up to date."""
    store = open_store(chosen.database_uri, chosen.store_timeout_s)
    token_file, timeout_s = chosen.mlflow_token_file, chosen.store_timeout_s * MLFLOW_SHARE
    wire = MlflowWire(chosen.mlflow_address, token_file, timeout_s)
    mlflow, watch = Mlflow(wire), Watch(store)
    alignment = Alignment(store, mlflow)
    within_s = chosen.store_timeout_s * FIRST_ANSWER_SHARE
    reconciler = Reconciler(store, mlflow, objects, alignment, within_s)
    registrar = Registrar(store, mlflow, bucket=chosen.s3_bucket, tell=watch.tell)
    importer = make_importer(store, registrar)
    mesh = MeshReader(chosen.mesh_address) if chosen.mesh_address else None
    canaries = Driver(store, mesh, _limits(chosen), watch, alignment)
    server = Server(chosen, [SERVICE])
    parts = Parts(store, objects, importer, watch, alignment, reconciler, canaries)
    pb_grpc.add_RegistryServicer_to_server(Servicer(parts), server.grpc)
    await server.start()
    registry = Registry(server, store, mlflow, registrar, watch, reconciler, importer, canaries)
    working = asyncio.create_task(registry.work())
    working.add_done_callback(_end_if_failed)
    try:
        yield registry
    finally:
        working.cancel()
        await asyncio.wait({working})
        if mesh is not None:
            await mesh.close()
        await wire.close()
        await store.close()


async def serve(chosen: Settings, objects: Objects, make_importer: MakeImporter) -> None:
    """Serves until a signal, then drains."""
    async with start(chosen, objects, make_importer) as registry:

        async def on_drain() -> None:
            registry.watch.close()

        await run(registry.server, on_drain)


def _limits(chosen: Settings) -> Limits:
    return Limits(
        answers_min=chosen.canary_answers_min,
        failures_min=chosen.canary_failures_min,
        error_margin=chosen.canary_error_margin,
        first_token_ratio=chosen.canary_first_token_ratio,
        next_token_ratio=chosen.canary_next_token_ratio,
        ready_s=chosen.canary_ready_s,
        idle_s=chosen.canary_idle_s,
        blind_s=chosen.canary_blind_s,
    )


def _end_if_failed(working: asyncio.Task[None]) -> None:
    """A registry that no longer tells its watchers anything should be started again."""
    if not working.cancelled() and (error := working.exception()):
        log.critical("the registry ends", exc_info=error)
        signal.raise_signal(signal.SIGTERM)
