"""The real servicer on the real server, over a unix socket, with an engine that the test steps."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from parley.serving.v1 import model_serving_pb2 as pb
from parley.serving.v1 import model_serving_pb2_grpc as pb_grpc

from services.rpc.server import Server
from services.rpc.settings import ServerSettings
from services.serving.admission import Limits
from services.serving.model import read_model
from services.serving.prompts import read_prompts
from services.serving.replica import Replica
from services.serving.servicer import SERVICE, Servicer
from tests.fakes.engine import FakeEngine
from tests.fakes.model import write_model

WAIT_S = 10
LIMITS = Limits(running_max=2, sequences_max=8, tokens_max=2000)


@dataclass
class Serving:
    """A running server, a client of it, and what is behind it."""

    replica: Replica
    engine: FakeEngine
    server: Server
    address: str
    channel: grpc.aio.Channel
    stub: pb_grpc.ModelServingStub

    def generate(self, **fields: object) -> grpc.aio.UnaryStreamCall:
        """Asks, for "hi" unless told otherwise."""
        if not {"conversation", "tokens", "text"} & set(fields):
            fields["text"] = "hi"
        return self.stub.Generate(pb.GenerateRequest(**fields), timeout=WAIT_S)

    def ids(self, text: str) -> list[int]:
        """Tokens of a text and the end token."""
        return [*self.replica.prompts.encode_text(text), self.replica.model.end_ids[0]]

    @property
    def idle(self) -> bool:
        """Whether nothing is held."""
        admission = self.replica.admission
        return not (admission.running or admission.waiting or admission.tokens)


async def until(holds: Callable[[], bool]) -> None:
    """Lets the loop turn until a condition holds, or fails with TimeoutError."""
    async with asyncio.timeout(WAIT_S):
        while not holds():  # noqa: ASYNC110 (what is waited for tells nobody)
            await asyncio.sleep(0)


async def serve(folder: Path, socket: Path, engine: FakeEngine) -> AsyncIterator[Serving]:
    """Runs a server for one test."""
    replica = Replica(read_model(folder, ""), read_prompts(folder), engine, LIMITS)
    address = f"unix:{socket}"
    server = Server(ServerSettings(address=address, drain_s=0), [SERVICE])
    pb_grpc.add_ModelServingServicer_to_server(Servicer(replica), server.grpc)
    await server.start()
    replica.start(on_change=server.follow(lambda: replica.serving))
    async with grpc.aio.insecure_channel(address) as channel:
        stub = pb_grpc.ModelServingStub(channel)
        yield Serving(replica, engine, server, address, channel, stub)
    await server.grpc.stop(0)
    await replica.close()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder."""
    return write_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
async def loading(folder: Path, tmp_path: Path) -> AsyncIterator[Serving]:
    """A server whose engine is not ready yet."""
    async for serving in serve(folder, tmp_path / "s.sock", FakeEngine()):
        yield serving


@pytest.fixture
async def serving(loading: Serving) -> Serving:
    """A server whose engine is ready, and steps when the test says so."""
    loading.engine.become_ready()
    return loading
