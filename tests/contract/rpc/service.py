"""A small service behind the shared server, whose answers a test chooses by the prompt's text.

As a program it runs until a signal, as a replica does: `python -m tests.contract.rpc.service
ADDRESS DRAIN_S`. A stream goes on while the file named in the prompt is missing.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
from parley.serving.v1 import model_serving_pb2 as pb
from parley.serving.v1 import model_serving_pb2_grpc as pb_grpc

from services.rpc import errors, logs
from services.rpc.server import Server, run
from services.rpc.settings import ServerSettings

SERVICE = "parley.serving.v1.ModelServing"
SECRET = "the password is swordfish"
POLL_S = 0.01
DELTAS_AFTER = 3


class Servicer(pb_grpc.ModelServingServicer):
    """Fails, aborts or streams as the prompt says."""

    async def CountTokens(
        self, request: pb.CountTokensRequest, context: grpc.aio.ServicerContext
    ) -> pb.CountTokensResponse:
        """Fails as the text says; counts its characters else."""
        _fail(request.text)
        return pb.CountTokensResponse(prompt_tokens=len(request.text))

    async def Generate(
        self, request: pb.GenerateRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.GenerateResponse]:
        """Says Started; when the file named in the text is there, deltas and Finished, or fails."""
        yield pb.GenerateResponse(started=pb.Started())
        path = Path(request.text.removeprefix("abort "))
        while path.is_absolute() and not path.exists():  # noqa: ASYNC110, ASYNC240 (of a process)
            await asyncio.sleep(POLL_S)
        _fail(path.read_text() if path.is_absolute() else request.text)  # noqa: ASYNC240
        for position in range(DELTAS_AFTER):
            yield pb.GenerateResponse(delta=pb.Delta(text=str(position)))
        yield pb.GenerateResponse(finished=pb.Finished())


def _fail(text: str) -> None:
    if text == "crash":
        raise RuntimeError(SECRET)
    if text == "full":
        raise errors.ResourceExhausted(
            "Full.", reason="QUEUE_FULL", metadata={"waiting": "3"}, retry_after_s=2
        )


def build(address: str, drain_s: float = 5) -> Server:
    """The service, not yet started."""
    settings = ServerSettings(address=address, drain_s=drain_s, health_interval_s=0.1)
    server = Server(settings, [SERVICE])
    pb_grpc.add_ModelServingServicer_to_server(Servicer(), server.grpc)
    return server


async def _main(address: str, drain_s: float) -> None:
    server = build(address, drain_s)
    await server.start()
    await server.set_serving(True)
    await run(server)


if __name__ == "__main__":
    logs.configure("example")
    asyncio.run(_main(sys.argv[1], float(sys.argv[2])))
