"""Runs one serving replica: `python -m services.serving`."""

import sys
from pathlib import Path

import uvloop
from parley.serving.v1 import model_serving_pb2_grpc as pb_grpc

from services.rpc import logs, metrics, settings
from services.rpc.scheduling import give_way
from services.rpc.server import Server, run
from services.rpc.settings import EXIT_BAD_SETTINGS
from services.serving.cache import FileCache
from services.serving.joining import Joiner, to_report
from services.serving.keeper import Keeper
from services.serving.loader import EngineLoader
from services.serving.memory import GIB, machine_bytes
from services.serving.registry_source import RegistrySource
from services.serving.remote.keeper import RemoteKeeper, read_keeper
from services.serving.remote.servicer import RemoteServicer
from services.serving.replica import Replica
from services.serving.servicer import SERVICE, Servicer
from services.serving.settings import UNIX, Settings
from services.serving.source import FolderSource, Source


async def main(chosen: Settings) -> None:
    """Serves until a signal, then drains."""
    replica = Replica(chosen.name)
    server = Server(chosen, [SERVICE])
    servicer = RemoteServicer(replica) if chosen.remote_url else Servicer(replica)
    pb_grpc.add_ModelServingServicer_to_server(servicer, server.grpc)
    tell_health = server.follow(lambda: replica.serving)
    joiner: Joiner | None = None

    def tell() -> None:
        tell_health()
        if joiner is not None:
            joiner.tell()

    try:
        joiner = _joiner(chosen, replica)
        keeper = _keeper(chosen, replica)
        keeper.start(tell)
        if chosen.model_dir is not None:
            # Nobody should find the port open and the model unknown.
            await keeper.begun()
    except (OSError, ValueError) as error:
        sys.stderr.write(f"parley: {error}\n")
        raise SystemExit(EXIT_BAD_SETTINGS) from None
    await server.start()
    tell()
    if joiner is not None:
        # Not before the port is open, and not waited for.
        joiner.start()

    async def on_drain() -> None:
        replica.draining = True
        if joiner is not None:
            # First of all: what comes after this costs a retry.
            await joiner.drain()

    await run(server, on_drain)
    await keeper.close()
    if joiner is not None:
        await joiner.close()


def _joiner(chosen: Settings, replica: Replica) -> Joiner | None:
    if not chosen.mesh_address:
        return None
    return Joiner(
        lambda: to_report(replica, chosen.reached_at),
        chosen.mesh_address,
        _mesh_key(chosen, chosen.mesh_address),
    )


def _mesh_key(chosen: Settings, address: str) -> str | None:
    """The key for what is behind a mesh; a service's own socket asks for none."""
    if chosen.mesh_key_file is None or address.startswith(UNIX):
        return None
    return settings.secret(chosen.mesh_key_file)


def _keeper(chosen: Settings, replica: Replica) -> Keeper | RemoteKeeper:
    if chosen.remote_url:
        return read_keeper(chosen, replica)
    return Keeper(
        replica,
        _source(chosen),
        EngineLoader(chosen),
        budget_bytes=_budget_bytes(chosen),
        unload_s=chosen.unload_s,
    )


def _source(chosen: Settings) -> Source:
    if chosen.model_dir is not None:
        return FolderSource(chosen.model_dir, chosen.model_name)
    cache = FileCache(chosen.cache_dir or Path(), int(chosen.cache_disk_gib * GIB))
    address = chosen.registry_address
    return RegistrySource(address, cache, chosen.fetch_timeout_s, _mesh_key(chosen, address))


def _budget_bytes(chosen: Settings) -> int | None:
    if chosen.model_dir is not None:
        # There is nothing to choose between.
        return None
    return int(chosen.memory_gib * GIB) or machine_bytes() // 2


if __name__ == "__main__":
    give_way()
    logs.configure("serving")
    read = settings.read(Settings)
    metrics.expose(read.metrics_port)
    uvloop.run(main(read))
