"""Runs a gRPC server from its first health answer to the end of its drain.

Every server has health v1 (overall and per service, NOT_SERVING until the service says otherwise),
reflection of all of Parley's contracts, bounds, and a drain: on SIGTERM or SIGINT it turns
NOT_SERVING, waits until proxies have seen that, refuses new RPCs, lets running ones finish for
`drain_s`, and ends. A second signal ends it at once.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from parley.jobs.v1 import feedback_pb2, jobs_pb2
from parley.mesh.v1 import mesh_pb2
from parley.registry.v1 import registry_pb2
from parley.serving.v1 import model_serving_pb2

from services.rpc.channel import KEEPALIVE_OPTIONS
from services.rpc.interceptor import Interceptor
from services.rpc.settings import ServerSettings

log = structlog.get_logger()

UNIX = "unix:"
EXIT_SECOND_SIGNAL = 130
# Through one address of the mesh a caller reaches several services, and asks any of them for all.
CONTRACTS = [
    service.full_name
    for file in (
        model_serving_pb2.DESCRIPTOR,
        registry_pb2.DESCRIPTOR,
        jobs_pb2.DESCRIPTOR,
        feedback_pb2.DESCRIPTOR,
        mesh_pb2.DESCRIPTOR,
    )
    for service in file.services_by_name.values()
]


class Server:
    """One gRPC server. `names` are the full names of its services."""

    def __init__(self, settings: ServerSettings, names: Sequence[str]) -> None:
        self._settings = settings
        self._names = [*names, ""]
        self.grpc = grpc.aio.server(
            interceptors=[Interceptor(settings.send_timeout_s)], options=_options(settings)
        )
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.grpc)
        reflection.enable_server_reflection(
            [*CONTRACTS, health.SERVICE_NAME, reflection.SERVICE_NAME], self.grpc
        )

    async def start(self) -> None:
        """Opens the port. Raises OSError with the address when it cannot be had."""
        await self.set_serving(False)
        address = self._settings.address
        try:
            self.grpc.add_insecure_port(address)
        except RuntimeError:
            raise OSError(f"cannot listen on {address}: is something else there?") from None
        if address.startswith(UNIX):
            Path(address.removeprefix(UNIX)).chmod(0o600)  # noqa: ASYNC240 (at start-up, once)
        await self.grpc.start()
        log.info("listening", address=address)

    async def set_serving(self, serving: bool) -> None:
        """Tells health checks whether to send requests here."""
        state = health_pb2.HealthCheckResponse
        for name in self._names:
            await self._health.set(name, state.SERVING if serving else state.NOT_SERVING)

    def follow(self, is_serving: Callable[[], bool]) -> Callable[[], None]:
        """Returns what to call, on the event loop, whenever `is_serving` may have changed."""
        tasks: set[asyncio.Task[None]] = set()

        def tell() -> None:
            task = asyncio.get_running_loop().create_task(self.set_serving(is_serving()))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        return tell

    async def drain(self) -> None:
        """Stops taking requests, lets running ones finish, and closes."""
        log.info("draining", drain_s=self._settings.drain_s)
        await self._health.enter_graceful_shutdown()
        await asyncio.sleep(self._settings.health_interval_s)
        await self.grpc.stop(self._settings.drain_s)
        log.info("drained")


async def until_signal() -> None:
    """Waits for SIGTERM or SIGINT; from then on a second one ends the process at once."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(EXIT_SECOND_SIGNAL)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    await stop.wait()


async def run(server: Server, on_drain: Callable[[], Awaitable[None]] | None = None) -> None:
    """Runs a started server until a signal, then drains it. `on_drain` runs first, to refuse new
    work."""
    await until_signal()
    if on_drain is not None:
        await on_drain()
    await server.drain()


def _options(settings: ServerSettings) -> list[tuple[str, int]]:
    return [
        *KEEPALIVE_OPTIONS,
        # A proxy pings every few seconds to notice frozen replicas; the default takes that for an
        # attack, answers too_many_pings and hangs up.
        ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.max_receive_message_length", settings.message_bytes_max),
        ("grpc.max_send_message_length", settings.message_bytes_max),
        ("grpc.max_concurrent_streams", settings.streams_max),
        ("grpc.so_reuseport", 0),
    ]
