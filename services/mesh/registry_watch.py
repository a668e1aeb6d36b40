"""How traffic is to be spread, as the registry says it, for as long as this process runs.

Follows parley.registry.v1.Registry.WatchModels. With the registry away, what it said last stays.
"""

import asyncio
from collections.abc import Callable

import grpc
import structlog
from parley.registry.v1 import registry_pb2 as pb
from parley.registry.v1 import registry_pb2_grpc as pb_grpc

from services.mesh.state import Aliased, ModelTraffic, Share
from services.rpc.channel import open_channel

log = structlog.get_logger()

# A watch is begun anew now and then, so that none hangs for ever.
WATCH_S = 600.0
RETRY_S_MIN, RETRY_S_MAX = 0.1, 2.0
WEIGHT_ALL = 100
CHAMPION = "champion"
AWAY = "The registry does not answer; traffic is spread as it said last."

OnTraffic = Callable[[int, tuple[ModelTraffic, ...]], None]


class RegistryWatch:
    """A registry that is listened to."""

    def __init__(self, address: str) -> None:
        self._channel = open_channel(address)
        self._stub = pb_grpc.RegistryStub(self._channel)
        # For people: what is wrong, if anything is.
        self.detail = ""

    async def follow(self, on_traffic: OnTraffic) -> None:
        """Calls `on_traffic` with each revision and what it holds, until it is cancelled."""
        revision, delay_s = 0, RETRY_S_MIN
        while True:
            try:
                asked = pb.WatchModelsRequest(revision=revision)
                async for told in self._stub.WatchModels(asked, timeout=WATCH_S):
                    revision, delay_s, self.detail = told.revision, RETRY_S_MIN, ""
                    on_traffic(told.revision, to_traffic(told))
            except grpc.aio.AioRpcError as error:
                self._on_error(error)
                # The next watch should answer at once, if only to show that the registry is back.
                revision = 0
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, RETRY_S_MAX)

    async def close(self) -> None:
        """Hangs up."""
        await self._channel.close()

    def _on_error(self, error: grpc.aio.AioRpcError) -> None:
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            return
        if not self.detail:
            log.warning("registry not reached", code=error.code().name)
        self.detail = AWAY


def to_traffic(told: pb.WatchModelsResponse) -> tuple[ModelTraffic, ...]:
    """The registry's state in our words, sorted by the models' names."""
    return tuple(_to_model(model) for model in sorted(told.models, key=lambda one: one.name))


def _to_model(model: pb.ServedModel) -> ModelTraffic:
    shares = [Share(str(route.number), route.weight) for route in model.traffic.routes]
    if not shares and model.champion:
        shares = [Share(str(model.champion), WEIGHT_ALL)]
    aliases = {
        (alias, version.number) for version in model.versions for alias in version.aliases
    } | ({(CHAMPION, model.champion)} if model.champion else set())
    return ModelTraffic(
        model=model.name,
        shares=tuple(shares),
        aliases=tuple(Aliased(alias, str(number)) for alias, number in sorted(aliases)),
        versions=tuple(str(number) for number in sorted(one.number for one in model.versions)),
    )
