"""A serving replica without an engine, on Parley's own gRPC server: it counts, slowly if asked.

Run as `python fake_replica.py ADDRESS NAME`. `Generate` sends `stopping.tokens_max` deltas, one
each `sampling.temperature` seconds; `CountTokens` says which metadata arrived; `ListLoadedModels`
says the replica's name.
"""

import asyncio
import sys

from parley.serving.v1 import model_serving_pb2 as pb
from parley.serving.v1 import model_serving_pb2_grpc

from services.rpc.server import Server, run
from services.rpc.settings import ServerSettings

SERVICE = "parley.serving.v1.ModelServing"


class FakeServing(model_serving_pb2_grpc.ModelServingServicer):
    """Answers without a model."""

    def __init__(self, name):
        self._name = name

    async def Generate(self, request, context):
        """Streams numbered deltas."""
        for number in range(request.stopping.tokens_max):
            yield pb.GenerateResponse(delta=pb.Delta(position=number, text=str(number)))
            await asyncio.sleep(request.sampling.temperature)

    async def CountTokens(self, request, context):
        """Sends back the metadata that arrived, as initial metadata."""
        arrived = [
            (f"saw-{key}", value)
            for key, value in context.invocation_metadata()
            if isinstance(value, str)
        ]
        await context.send_initial_metadata(arrived)
        return pb.CountTokensResponse()

    async def ListLoadedModels(self, request, context):
        """One model, named as the replica."""
        return pb.ListLoadedModelsResponse(models=[pb.LoadedModel(model=self._name)])


async def main(address, name):
    """Serves until a signal."""
    # Envoy asks for its health each second: with twice that it knows, however late its look is.
    settings = ServerSettings(address=address, drain_s=5, health_interval_s=2)
    server = Server(settings, [SERVICE])
    model_serving_pb2_grpc.add_ModelServingServicer_to_server(FakeServing(name), server.grpc)
    await server.start()
    await server.set_serving(True)
    await run(server)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
