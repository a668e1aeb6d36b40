"""What replicas hear: the whole state, each change, and nothing twice."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from parley.registry.v1 import registry_pb2 as pb

from tests.contract.registry.worlds import WAIT_S, World, open_world


@asynccontextmanager
async def watching(world: World, revision: int = 0) -> AsyncIterator[Any]:
    """A watch; `read()` gives the next state."""
    call = world.stub.WatchModels(pb.WatchModelsRequest(revision=revision), timeout=WAIT_S)
    yield call
    call.cancel()


async def test_a_watch_tells_each_change(world: World):
    """First what is, then what becomes of it, with everything a replica must load."""
    first, second = await world.register("a", dataset_digest="d" * 64), await world.register("b")
    async with watching(world) as states:
        assert list((await states.read()).models) == []
        await world.promote(first.number, 0)
        (model,) = (await states.read()).models
        assert (model.name, model.champion) == (world.model, first.number)
        (version,) = model.versions
        assert (version.digest, version.dataset_digest) == (first.digest, "d" * 64)
        assert (version.run_id, list(version.aliases)) == (first.evidence.run_id, ["champion"])
        await world.promote(second.number, first.number)
        state = await states.read()
        standby = {one.number: one.standby for one in state.models[0].versions}
        assert standby == {first.number: True, second.number: False}
        assert state.revision == (await world.audit())[0].id


async def test_a_watch_goes_on_where_it_was(world: World):
    """With the newest revision nothing comes before the next change."""
    first, second = await world.register("a"), await world.register("b")
    promotion = await world.promote(first.number, 0)
    async with watching(world, promotion.revision) as states:
        await world.promote(second.number, first.number)
        assert (await states.read()).models[0].champion == second.number


async def test_each_revision_is_told(world: World):
    """Also one that serves the same as before: who made it waits for replicas that know it."""
    first = await world.register("a")
    await world.promote(first.number, 0)
    async with watching(world) as states:
        before = await states.read()
        changed = await world.set_traffic({first.number: 100}, first.number)
        after = await states.read()
        assert after.revision == changed.revision > before.revision
        assert after.models == before.models


async def test_a_change_by_another_process_is_told(
    world: World, socket_folder, database_uri: str, mlflow_address: str
):
    """The revision is looked at all the time, not only after changes of one's own."""
    first = await world.register("a")
    (socket_folder / "other").mkdir()
    other_world = open_world(socket_folder / "other", database_uri, mlflow_address)
    async with other_world as other, watching(other) as states:
        await states.read()
        await world.promote(first.number, 0)
        assert (await states.read()).models[0].champion == first.number


async def test_a_watch_ends_when_the_registry_goes(world: World):
    """A drain does not wait for streams that never end; their readers ask elsewhere."""
    async with watching(world) as states:
        await states.read()
        world.registry.watch.close()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await states.read()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
