"""Runs the mesh: `python -m services.mesh`."""

import asyncio
import sys
from functools import partial

import uvloop
from parley.mesh.v1 import mesh_pb2_grpc as pb_grpc

from services.mesh.ads import Control
from services.mesh.conductor import Conductor
from services.mesh.disk import Files
from services.mesh.kept import Kept
from services.mesh.members import Members
from services.mesh.registry_watch import RegistryWatch
from services.mesh.servicer import SERVICE, Servicer
from services.mesh.settings import Settings
from services.mesh.snapshot import build_snapshot
from services.mesh.topology import Limits
from services.rpc import logs, metrics, settings
from services.rpc.server import Server, run
from services.rpc.settings import EXIT_BAD_SETTINGS


async def main(chosen: Settings) -> None:
    """Serves replicas and proxies until a signal."""
    watch = RegistryWatch(chosen.registry_address) if chosen.registry_address else None
    build = partial(
        build_snapshot,
        limits=Limits(),
        registry=bool(chosen.registry_address),
        jobs=chosen.jobs,
        control=True,
    )
    kept = Kept(chosen.snapshot_dir)
    before = kept.read()
    control = Control(Files(chosen.snapshot_dir).write, build(before) if before else None)
    conductor = Conductor(
        Members(chosen.interval_s),
        control,
        build,
        before=before,
        registry=watch is not None,
        keep=kept.write,
        interval_s=chosen.interval_s,
        coalesce_s=chosen.coalesce_s,
    )
    servicer = Servicer(
        conductor, chosen.interval_s, control.proxies, lambda: watch.detail if watch else ""
    )
    server = Server(chosen, [SERVICE])
    pb_grpc.add_MeshServicer_to_server(servicer, server.grpc)
    server.grpc.add_generic_rpc_handlers((control.handler(),))
    try:
        await server.start()
    except OSError as error:
        sys.stderr.write(f"parley: {error}\n")
        raise SystemExit(EXIT_BAD_SETTINGS) from None
    work = [conductor.run(), _tell_when_begun(server, conductor)]
    if watch is not None:
        work.append(watch.follow(conductor.on_traffic))
    tasks = [asyncio.create_task(one) for one in work]

    async def on_drain() -> None:
        conductor.close()
        servicer.close()
        control.close()

    await run(server, on_drain)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    if watch is not None:
        await watch.close()


async def _tell_when_begun(server: Server, conductor: Conductor) -> None:
    await conductor.begun.wait()
    await server.set_serving(True)


if __name__ == "__main__":
    logs.configure("mesh")
    read = settings.read(Settings)
    metrics.expose(read.metrics_port)
    uvloop.run(main(read))
