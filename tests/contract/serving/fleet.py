"""A running server whose versions the test chooses."""

from dataclasses import dataclass

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from parley.serving.v1 import model_serving_pb2 as pb

from services.serving.servicer import SERVICE
from tests.contract.serving.server import WAIT_S, Serving, until
from tests.fakes.engine import FakeEngine
from tests.fakes.source import FakeSource, key

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@dataclass
class Fleet:
    """A running server whose versions the test chooses."""

    serving: Serving
    source: FakeSource
    chances: list[float]

    def engine(self, number: int) -> FakeEngine:
        """The engine of a version."""
        return self.serving.loader.engines[key(number)]

    def has(self, number: int) -> bool:
        """Whether a version is loaded, ready or not."""
        return key(number) in self.serving.replica.versions

    async def bring(self, *numbers: int) -> None:
        """Waits until versions are loaded, and lets their engines be ready."""
        for number in numbers:
            await until(lambda: self.has(number))  # noqa: B023
            if not self.engine(number).ready:
                self.engine(number).become_ready()

    async def started(self, model: str = "tiny") -> tuple[grpc.aio.UnaryStreamCall, pb.Started]:
        """A stream that has begun."""
        call = self.serving.generate(model=model, stopping=pb.Stopping(tokens_max=3))
        return call, (await call.read()).started

    async def version(self, model: str = "tiny") -> str:
        """The version that answers now."""
        call, started = await self.started(model)
        call.cancel()
        return started.version

    async def listed(self) -> dict[str, pb.LoadedModel]:
        """What the replica says of its versions."""
        asked = pb.ListLoadedModelsRequest()
        answer = await self.serving.stub.ListLoadedModels(asked, timeout=WAIT_S)
        return {model.version: model for model in answer.models}

    async def health(self) -> int:
        """What the replica says of itself."""
        stub = health_pb2_grpc.HealthStub(self.serving.channel)
        asked = health_pb2.HealthCheckRequest(service=SERVICE)
        return (await stub.Check(asked, timeout=WAIT_S)).status

    async def until_health(self, wanted: int) -> None:
        """Waits until the replica says that of itself."""
        stub = health_pb2_grpc.HealthStub(self.serving.channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE), timeout=WAIT_S)
        while (await watch.read()).status != wanted:
            pass
        watch.cancel()
