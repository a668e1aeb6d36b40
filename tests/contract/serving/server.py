"""The real servicer on the real server, over a unix socket, with an engine that the test steps."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from parley.serving.v1 import model_serving_pb2 as pb
from parley.serving.v1 import model_serving_pb2_grpc as pb_grpc

from services.rpc.server import Server
from services.rpc.settings import ServerSettings
from services.serving.admission import Limits
from services.serving.keeper import Keeper
from services.serving.loaded import Loaded
from services.serving.replica import Replica
from services.serving.servicer import SERVICE, Servicer
from services.serving.source import Source
from tests.fakes.engine import FakeEngine
from tests.fakes.source import FakeLoader

WAIT_S = 10
LIMITS = Limits(running_max=2, sequences_max=8, tokens_max=2000)


@dataclass
class Serving:
    """A running server, a client of it, and what is behind it."""

    replica: Replica
    loader: FakeLoader
    server: Server
    address: str
    channel: grpc.aio.Channel
    stub: pb_grpc.ModelServingStub

    def generate(self, **fields: object) -> grpc.aio.UnaryStreamCall:
        """Asks, for "hi" unless told otherwise."""
        if not {"conversation", "tokens", "text"} & set(fields):
            fields["text"] = "hi"
        return self.stub.Generate(pb.GenerateRequest(**fields), timeout=WAIT_S)

    @property
    def loaded(self) -> Loaded:
        """The only version."""
        (loaded,) = self.replica.versions.values()
        return loaded

    @property
    def engine(self) -> FakeEngine:
        """The only engine."""
        (engine,) = self.loader.engines.values()
        return engine

    def ids(self, text: str) -> list[int]:
        """Tokens of a text and the end token."""
        return [*self.loaded.prompts.encode_text(text), self.loaded.model.end_ids[0]]

    @property
    def idle(self) -> bool:
        """Whether nothing is held."""
        admissions = [loaded.admission for loaded in self.replica.versions.values()]
        return not any(one.running or one.waiting or one.tokens for one in admissions)


async def until(holds: Callable[[], bool]) -> None:
    """Lets the loop turn until a condition holds, or fails with TimeoutError."""
    async with asyncio.timeout(WAIT_S):
        while not holds():  # noqa: ASYNC110 (what is waited for tells nobody)
            await asyncio.sleep(0)


@asynccontextmanager
async def serve(
    socket: Path,
    source: Source,
    chance: Callable[[], float],
    *,
    make_engine: Callable[[], FakeEngine] = FakeEngine,
    **keeping: object,
) -> AsyncIterator[Serving]:
    """Runs a server for one test; `keeping` goes to the keeper."""
    replica, loader = Replica(), FakeLoader(LIMITS, make=make_engine)
    address = f"unix:{socket}"
    server = Server(ServerSettings(address=address, drain_s=0), [SERVICE])
    pb_grpc.add_ModelServingServicer_to_server(Servicer(replica, chance), server.grpc)
    keeper = Keeper(
        replica, source, loader, **{"budget_bytes": None, "unload_s": WAIT_S, **keeping}
    )
    await server.start()
    keeper.start(on_change=server.follow(lambda: replica.serving))
    async with grpc.aio.insecure_channel(address) as channel:
        stub = pb_grpc.ModelServingStub(channel)
        yield Serving(replica, loader, server, address, channel, stub)
    await server.grpc.stop(0)
    await keeper.close()
