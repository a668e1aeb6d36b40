"""A serving replica whose tokens come by the clock, so that what a proxy adds can be seen.

Runs in a replica's place (`python -m bench.paced_replica`, settings as a replica's). Token i of an
answer leaves `INTERVAL_S` * (i + 1) after the request came. Loads no model.
"""

import asyncio
from collections.abc import AsyncIterator

import grpc
import uvloop
from parley.mesh.v1 import mesh_pb2
from parley.serving.v1 import model_serving_pb2 as pb
from parley.serving.v1 import model_serving_pb2_grpc as pb_grpc
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.rpc import logs, settings
from services.rpc.server import Server, run
from services.rpc.settings import ServerSettings
from services.serving.joining import Joiner

INTERVAL_S = 0.02  # 50 tokens a second, the pace of the gateway benchmarks that others publish
SERVICE = pb.DESCRIPTOR.services_by_name["ModelServing"].full_name
MODEL, VERSION = "paced", "0" * 12


class Settings(ServerSettings):
    """A replica's settings, as far as they matter here."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="parley_serving_")

    name: str = Field(description="Its name in the mesh.")
    mesh_address: str = Field(description="The mesh to join.")


class PacedServicer(pb_grpc.ModelServingServicer):
    """Answers any prompt with the asked number of tokens, at a fixed pace."""

    async def Generate(
        self, request: pb.GenerateRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.GenerateResponse]:
        """Streams one answer."""
        loop = asyncio.get_running_loop()
        came_s, tokens = loop.time(), request.stopping.tokens_max or 64
        prompt_tokens = len(request.tokens.ids)
        yield pb.GenerateResponse(
            started=pb.Started(
                model=MODEL, version=VERSION, prompt_tokens=prompt_tokens, repeatable=True
            )
        )
        for index in range(tokens):
            await asyncio.sleep(came_s + (index + 1) * INTERVAL_S - loop.time())
            yield pb.GenerateResponse(
                delta=pb.Delta(position=index, token_ids=[index], text=f"word{index} ")
            )
        usage = pb.Usage(prompt_tokens=prompt_tokens, completion_tokens=tokens)
        yield pb.GenerateResponse(finished=pb.Finished(reason=pb.FINISH_REASON_LENGTH, usage=usage))

    async def ListLoadedModels(
        self, request: pb.ListLoadedModelsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListLoadedModelsResponse:
        """Lists the one pretended model."""
        return pb.ListLoadedModelsResponse(
            models=[
                pb.LoadedModel(
                    model=MODEL,
                    version=VERSION,
                    state=pb.MODEL_STATE_READY,
                    context_tokens_max=4096,
                )
            ]
        )


async def main(chosen: Settings) -> None:
    """Serves until a signal."""
    server = Server(chosen, [SERVICE])
    pb_grpc.add_ModelServingServicer_to_server(PacedServicer(), server.grpc)
    await server.start()
    await server.set_serving(True)
    joiner = Joiner(lambda: _report(chosen), chosen.mesh_address)
    joiner.start()
    await run(server)
    await joiner.close()


def _report(chosen: Settings) -> mesh_pb2.Report:
    ready = mesh_pb2.VersionReport(model=MODEL, version=VERSION, phase=mesh_pb2.VERSION_PHASE_READY)
    return mesh_pb2.Report(
        name=chosen.name,
        address=chosen.address,
        state=mesh_pb2.REPLICA_STATE_SERVING,
        versions=[ready],
    )


if __name__ == "__main__":
    logs.configure("serving")
    uvloop.run(main(settings.read(Settings)))
