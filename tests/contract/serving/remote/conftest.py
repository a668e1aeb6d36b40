"""The remote servicer on the real server, before a server that the test scripts."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from parley.serving.v1 import model_serving_pb2 as pb
from parley.serving.v1 import model_serving_pb2_grpc as pb_grpc

from services.rpc.server import Server
from services.serving.remote.keeper import read_keeper
from services.serving.remote.servicer import RemoteServicer
from services.serving.replica import Replica
from services.serving.servicer import SERVICE
from services.serving.settings import Settings
from tests.contract.serving.server import WAIT_S, until
from tests.fakes.facade import answering
from tests.fakes.openai_server import FakeOpenAI

KEY = "sk-of-the-server"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
USER = pb.Conversation(messages=[pb.ChatMessage(role=pb.CHAT_ROLE_USER, content="hi")])


@dataclass
class Remote:
    """A running replica and a client of it."""

    replica: Replica
    channel: grpc.aio.Channel
    stub: pb_grpc.ModelServingStub

    def generate(self, **fields: object) -> grpc.aio.UnaryStreamCall:
        """Asks, in a conversation unless told otherwise."""
        if not {"conversation", "text", "tokens"} & fields.keys():
            fields["conversation"] = USER
        return self.stub.Generate(pb.GenerateRequest(**fields), timeout=WAIT_S)

    async def listed(self) -> pb.LoadedModel:
        """What the replica says of its only version."""
        answer = await self.stub.ListLoadedModels(pb.ListLoadedModelsRequest(), timeout=WAIT_S)
        (model,) = answer.models
        return model

    async def until_health(self, wanted: int) -> None:
        """Waits until the replica says that of itself."""
        asked = health_pb2.HealthCheckRequest(service=SERVICE)
        watch = health_pb2_grpc.HealthStub(self.channel).Watch(asked, timeout=WAIT_S)
        while (await watch.read()).status != wanted:
            pass
        watch.cancel()

    @property
    def idle(self) -> bool:
        """Whether nothing is held."""
        (standing,) = self.replica.versions.values()
        admission = standing.admission
        return not (admission.running or admission.waiting or admission.tokens)


@asynccontextmanager
async def remote_to(url: str, folder: Path, **told: object) -> AsyncIterator[Remote]:
    """Runs a replica before the server at `url`; `told` are settings."""
    address = f"unix:{folder}/remote.sock"
    replica = Replica()
    server = Server(Settings(address=address, drain_s=0, remote_url=url, **told), [SERVICE])
    pb_grpc.add_ModelServingServicer_to_server(RemoteServicer(replica), server.grpc)
    keeper = read_keeper(Settings(address=address, remote_url=url, **told), replica)
    await server.start()
    keeper.start(server.follow(lambda: replica.serving))
    async with grpc.aio.insecure_channel(address) as channel:
        yield Remote(replica, channel, pb_grpc.ModelServingStub(channel))
    await server.grpc.stop(0)
    await keeper.close()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """The file of the server's key."""
    path = tmp_path / "key"
    path.write_text(KEY)
    path.chmod(0o600)
    return path


@pytest.fixture
def told(key_file: Path) -> dict[str, object]:
    """The replica's settings; tests override it."""
    return {"remote_key_file": key_file, "sequences_max": 2, "queue_sequences_max": 3}


@pytest.fixture
async def far() -> FakeOpenAI:
    """What answers over there."""
    return FakeOpenAI()


@pytest.fixture
def running(
    far: FakeOpenAI, tmp_path: Path, told: dict[str, object]
) -> Callable[[], AbstractAsyncContextManager[Remote]]:
    """Runs the replica before a server that is not asked to be well."""

    @asynccontextmanager
    async def run() -> AsyncIterator[Remote]:
        async with answering(far) as url, remote_to(url, tmp_path, **told) as remote:
            yield remote

    return run


@pytest.fixture
async def remote(running) -> AsyncIterator[Remote]:
    """A replica that serves."""
    async with running() as remote:
        await remote.until_health(SERVING)
        yield remote
        await until(lambda: remote.idle)
