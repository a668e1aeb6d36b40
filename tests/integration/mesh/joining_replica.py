"""The fake replica of `fake_replica.py`, which joins a mesh; it has one version ready.

Run as `python -m tests.integration.mesh.joining_replica ADDRESS NAME MESH [KEY]`. On SIGTERM it
drains.
"""

import asyncio
import sys

from parley.mesh.v1 import mesh_pb2 as pb
from parley.serving.v1 import model_serving_pb2_grpc

from services.rpc.server import Server, run
from services.rpc.settings import ServerSettings
from services.serving.joining import Joiner
from tests.fakes.mesh import DRAINING, SERVING, report

from .fake_replica import SERVICE, FakeServing


async def main(address: str, name: str, mesh_address: str, key: str | None = None) -> None:
    """Serves until a signal."""
    states = [SERVING]

    def says() -> pb.Report:
        return report(name, address=address, state=states[-1])

    server = Server(ServerSettings(address=address, drain_s=5), [SERVICE])
    model_serving_pb2_grpc.add_ModelServingServicer_to_server(FakeServing(name), server.grpc)
    await server.start()
    await server.set_serving(True)
    joiner = Joiner(says, mesh_address, key)
    joiner.start()

    async def on_drain() -> None:
        states.append(DRAINING)
        await joiner.drain()

    await run(server, on_drain)
    await joiner.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
