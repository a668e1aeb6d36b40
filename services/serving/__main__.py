"""Runs one serving replica: `python -m services.serving`."""

import uvloop
from parley.serving.v1 import model_serving_pb2_grpc as pb_grpc

from services.rpc import logs, metrics, settings
from services.rpc.server import Server, run
from services.serving.replica import read_replica
from services.serving.servicer import SERVICE, Servicer
from services.serving.settings import Settings


async def main(chosen: Settings) -> None:
    """Serves until a signal, then drains."""
    replica = read_replica(chosen)
    server = Server(chosen, [SERVICE])
    pb_grpc.add_ModelServingServicer_to_server(Servicer(replica), server.grpc)
    await server.start()
    replica.start(on_change=server.follow(lambda: replica.serving))

    async def on_drain() -> None:
        replica.draining = True

    await run(server, on_drain)
    await replica.close()


if __name__ == "__main__":
    logs.configure("serving")
    read = settings.read(Settings)
    metrics.expose(read.metrics_port)
    uvloop.run(main(read))
