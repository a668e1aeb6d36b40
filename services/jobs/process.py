"""Puts the parts of the jobs service together and runs them until a signal."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import structlog
from parley.jobs.v1 import jobs_pb2_grpc as pb_grpc
from parley.registry.v1 import registry_pb2_grpc as registry_grpc

from services.jobs import book, metrics
from services.jobs.airflow import Airflow
from services.jobs.airflow_wire import AirflowWire
from services.jobs.checks import Checks
from services.jobs.database import open_store
from services.jobs.follower import Follower
from services.jobs.ledger import Ledger
from services.jobs.model import JobState
from services.jobs.servicer import SERVICE, Parts, Servicer
from services.jobs.settings import Settings
from services.jobs.submitting import Submitting
from services.jobs.tracking import Tracking
from services.jobs.watch import Watch
from services.rpc.channel import open_channel
from services.rpc.errors import Unavailable
from services.rpc.mlflow_wire import MlflowWire
from services.rpc.server import Server, run
from services.rpc.store import Store

log = structlog.get_logger()

COUNT_S = 10.0
# Airflow's API server is slow when the machine is busy, and a run is looked at again anyway.
AIRFLOW_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Shared:
    """What another service of this process may use; without Airflow there is no wire to it."""

    server: Server
    registry: registry_grpc.RegistryStub
    airflow: AirflowWire | None


# Mounts another service on the server before that listens; what it gives goes on by itself.
Mount = Callable[[Shared], AbstractAsyncContextManager[Callable[[], Awaitable[None]]]]


@dataclass(frozen=True, slots=True)
class Jobs:
    """A jobs service that listens."""

    server: Server
    store: Store
    watch: Watch
    ledger: Ledger
    follower: Follower | None
    mounted: Sequence[Callable[[], Awaitable[None]]] = ()

    async def work(self) -> None:
        """Opens the database and does what goes on by itself, until cancelled."""
        await self.store.open()
        await self.server.set_serving(True)
        going = [self.watch.run, partial(_count, self.store), *self.mounted]
        if self.follower:
            going.append(self.follower.run)
        await asyncio.gather(*(work() for work in going))


@asynccontextmanager
async def start(chosen: Settings, mounts: Mapping[str, Mount] | None = None) -> AsyncIterator[Jobs]:
    """Listens at once, and answers UNAVAILABLE until the database is there and up to date.

    `mounts` are further services, by their full names.
    """
    mounts = mounts or {}
    async with AsyncExitStack() as closing:
        store = open_store(chosen.database_uri, chosen.store_timeout_s)
        closing.push_async_callback(store.close)
        watch = Watch(store)
        ledger = Ledger(store, watch)
        wire = _open_airflow(chosen, closing)
        airflow = Airflow(wire) if wire else None
        follower = _make_follower(chosen, closing, store, ledger, airflow)
        channel = await closing.enter_async_context(open_channel(chosen.registry_address))
        checks = Checks(channel, chosen.data_roots, chosen.starter, chosen.store_timeout_s)
        wake = follower.wake if follower else lambda: None
        submitting = Submitting(store, checks.check, wake, chosen.jobs_max)
        parts = Parts(
            store, ledger, watch, submitting, airflow, follower, chosen.airflow_url, chosen.starter
        )
        server = Server(chosen, [SERVICE, *mounts])
        pb_grpc.add_JobsServicer_to_server(Servicer(parts), server.grpc)
        shared = Shared(server, registry_grpc.RegistryStub(channel), wire)
        mounted = [await closing.enter_async_context(mount(shared)) for mount in mounts.values()]
        await server.start()
        jobs = Jobs(server, store, watch, ledger, follower, mounted)
        working = asyncio.create_task(jobs.work())
        working.add_done_callback(_end_if_failed)
        try:
            yield jobs
        finally:
            working.cancel()
            await asyncio.wait({working})


async def serve(chosen: Settings, mounts: Mapping[str, Mount] | None = None) -> None:
    """Serves until a signal, then drains."""
    async with start(chosen, mounts) as jobs:

        async def on_drain() -> None:
            jobs.watch.close()

        await run(jobs.server, on_drain)


def _open_airflow(chosen: Settings, closing: AsyncExitStack) -> AirflowWire | None:
    if not chosen.airflow_url:
        return None
    if chosen.airflow_password_file is None:
        raise SystemExit("parley: PARLEY_JOBS_AIRFLOW_PASSWORD_FILE: missing")
    wire = AirflowWire(
        chosen.airflow_url, chosen.airflow_user, chosen.airflow_password_file, AIRFLOW_TIMEOUT_S
    )
    closing.push_async_callback(wire.close)
    return wire


def _make_follower(
    chosen: Settings,
    closing: AsyncExitStack,
    store: Store,
    ledger: Ledger,
    airflow: Airflow | None,
) -> Follower | None:
    if airflow is None:
        return None
    wire = MlflowWire(chosen.mlflow_address, chosen.mlflow_token_file, chosen.store_timeout_s)
    closing.push_async_callback(wire.close)
    return Follower(store, ledger, airflow, Tracking(wire), chosen.poll_s, chosen.idle_poll_s)


async def _count(store: Store) -> None:
    while True:
        try:
            found = await store.run(book.count_states)
            for state in JobState:
                metrics.JOBS.labels(state).set(found.get(state, 0))
        except Unavailable:
            pass
        await asyncio.sleep(COUNT_S)


def _end_if_failed(working: asyncio.Task[None]) -> None:
    """A service that follows nothing any more should be started again."""
    if not working.cancelled() and (error := working.exception()):
        log.critical("the jobs service ends", exc_info=error)
        signal.raise_signal(signal.SIGTERM)
