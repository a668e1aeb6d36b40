"""A mesh's real server over a unix socket, with proxies that only listen."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from parley.mesh.v1 import mesh_pb2 as pb
from parley.mesh.v1 import mesh_pb2_grpc as pb_grpc

from services.mesh.conductor import Conductor
from services.mesh.members import Members
from services.mesh.servicer import SERVICE, Servicer
from services.mesh.snapshot import Snapshot, build_snapshot
from services.mesh.state import MeshState
from services.mesh.topology import Limits
from services.rpc.server import Server
from services.rpc.settings import ServerSettings

WAIT_S = 10
# Long enough for a busy machine; tests of silence take a shorter one.
INTERVAL_S = 5.0


@dataclass
class Listening:
    """Stands where proxies are told, and notes what they would be."""

    told: list[tuple[Snapshot, bool]] = field(default_factory=list)

    def publish(self, snapshot: Snapshot, urgent: bool) -> None:
        """Notes it."""
        self.told.append((snapshot, urgent))


@dataclass
class World:
    """A running mesh and a client of it."""

    conductor: Conductor
    servicer: Servicer
    proxies: Listening
    address: str
    stub: pb_grpc.MeshStub
    kept: list[MeshState]

    async def look(self) -> pb.GetMeshResponse:
        """The mesh as it shows itself."""
        return await self.stub.GetMesh(pb.GetMeshRequest(), timeout=WAIT_S)

    async def join(self, report: pb.Report) -> grpc.aio.StreamStreamCall:
        """A stream whose first report is taken."""
        call = self.stub.Join(timeout=WAIT_S)
        await self.say(call, report)
        return call

    async def say(self, call: grpc.aio.StreamStreamCall, report: pb.Report) -> pb.JoinResponse:
        """One report more, and the answer to it."""
        await call.write(pb.JoinRequest(report=report))
        return await call.read()

    async def until(self, holds: Callable[[pb.GetMeshResponse], bool]) -> pb.GetMeshResponse:
        """The mesh once a condition holds, or fails with TimeoutError."""
        async with asyncio.timeout(WAIT_S):
            while not holds(found := await self.look()):
                pass
        return found


def present(mesh: pb.GetMeshResponse) -> list[str]:
    """Names of the replicas that are in the mesh."""
    return [one.report.name for one in mesh.replicas if not one.left]


@asynccontextmanager
async def running(
    folder: Path,
    *,
    before: MeshState | None = None,
    registry: bool = False,
    interval_s: float = INTERVAL_S,
    coalesce_s: float = 0.01,
) -> AsyncIterator[World]:
    """Runs a mesh for one test."""
    proxies, kept = Listening(), []

    def build(state: MeshState) -> Snapshot:
        return build_snapshot(state, Limits(), registry=registry, jobs=False, control=True)

    conductor = Conductor(
        Members(interval_s),
        proxies,
        build,
        before=before,
        registry=registry,
        keep=kept.append,
        interval_s=interval_s,
        coalesce_s=coalesce_s,
    )
    servicer = Servicer(conductor, interval_s, list)
    address = f"unix:{folder / 'mesh.sock'}"
    server = Server(ServerSettings(address=address, drain_s=0, health_interval_s=0), [SERVICE])
    pb_grpc.add_MeshServicer_to_server(servicer, server.grpc)
    await server.start()
    looking = asyncio.create_task(conductor.run())
    async with grpc.aio.insecure_channel(address) as channel:
        stub = pb_grpc.MeshStub(channel)
        yield World(conductor, servicer, proxies, address, stub, kept)
    looking.cancel()
    await server.grpc.stop(0)
