"""A reader that takes nothing holds nothing up for long."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
from parley.serving.v1 import model_serving_pb2 as pb
from parley.serving.v1 import model_serving_pb2_grpc as pb_grpc

from services.rpc.channel import open_channel
from services.rpc.errors import from_rpc_error
from services.rpc.server import Server
from services.rpc.settings import ServerSettings
from tests.contract.rpc.service import SERVICE

SEND_TIMEOUT_S = 0.5
WAIT_S = 20
# More than gRPC takes in for a reader that does not read.
MEBIBYTES = 32


class Servicer(pb_grpc.ModelServingServicer):
    """Streams more than anybody's buffers hold, and tells when it is let go."""

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self.sent = 0

    async def Generate(
        self, request: pb.GenerateRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.GenerateResponse]:
        """Streams mebibytes."""
        try:
            for _ in range(MEBIBYTES):
                yield pb.GenerateResponse(delta=pb.Delta(text="x" * (1 << 20)))
                self.sent += 1
        finally:
            self.released.set()


async def test_a_reader_that_takes_nothing_is_let_go(tmp_path: Path):
    """What its answer holds is given back after a while; it hears why if it ever reads on."""
    address = f"unix:{tmp_path}/s.sock"
    settings = ServerSettings(address=address, drain_s=0, send_timeout_s=SEND_TIMEOUT_S)
    server, servicer = Server(settings, [SERVICE]), Servicer()
    pb_grpc.add_ModelServingServicer_to_server(servicer, server.grpc)
    await server.start()
    async with open_channel(address) as channel:
        stub = pb_grpc.ModelServingStub(channel)
        slow = stub.Generate(pb.GenerateRequest(text="x"), timeout=WAIT_S)
        await slow.read()
        async with asyncio.timeout(WAIT_S):
            await servicer.released.wait()
        assert servicer.sent < MEBIBYTES
        servicer.released.clear()
        quick = stub.Generate(pb.GenerateRequest(text="x"), timeout=WAIT_S)
        assert len([answer async for answer in quick]) == MEBIBYTES
        try:
            while await slow.read() is not grpc.aio.EOF:
                pass
        except grpc.aio.AioRpcError as error:
            failure = from_rpc_error(error)
        assert failure.code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert failure.reason == "READER_TOO_SLOW"
    await server.grpc.stop(0)
