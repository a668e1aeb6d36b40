"""What callers hear while a store is away."""

import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from parley.jobs.v1 import feedback_pb2 as pb

from services.rpc.errors import Unavailable
from tests.contract.feedback.worlds import World, named, open_world
from tests.contract.registry import worlds as registry_worlds
from tests.fakes.postgres import Postgres
from tests.integration.s3 import conftest as s3
from tests.integration.s3 import servers

# Little more than what is in use; an answer may take a little longer on a busy machine.
DEADLINE_S = 2.0
ANSWER_S_MAX = 5.0


@pytest.fixture
def own_s3(tmp_path: Path) -> Iterator[servers.Server]:
    """An object store that this test may stop."""
    with s3.running(s3.rclone(), tmp_path / "home") as server:
        yield server


@pytest.fixture
async def fragile(
    socket_folder: Path,
    database_uri: str,
    registry_world: registry_worlds.World,
    own_s3: servers.Server,
) -> AsyncIterator[World]:
    """A service on that store, nearly as impatient as in use."""
    async with open_world(socket_folder, database_uri, registry_world, own_s3, DEADLINE_S) as world:
        yield world


@pytest.mark.parametrize("frozen", [False, True])
async def test_without_the_object_store_nothing_is_taken(fragile: World, frozen: bool):
    """Callers hear it soon, before their bytes are sent; feedback itself goes on."""
    answer = await fragile.answer()
    await fragile.give(answer, "Who?", "Ada.")
    fragile.s3.pause() if frozen else fragile.s3.stop()
    for asking in (fragile.export, lambda: fragile.upload(*named("mine", b"{}\n"))):
        began = time.monotonic()
        with pytest.raises(Unavailable) as caught:
            await asking()
        assert caught.value.reason == "OBJECT_STORE_UNAVAILABLE"
        assert time.monotonic() - began < ANSWER_S_MAX
    await fragile.give(answer, "Where?", "Here.", choice=1)
    assert fragile.airflow.events == []
    fragile.s3.go_on() if frozen else fragile.s3.start()
    assert (await fragile.export()).dataset.rows == 2


async def test_without_the_registry_no_word_is_taken(world: World):
    """Nothing is kept whose origin is not known."""
    answer = await world.answer()
    await world.registry.registry.server.grpc.stop(0)
    with pytest.raises(Unavailable) as caught:
        await world.give(answer)
    assert caught.value.reason == "REGISTRY_UNAVAILABLE"
    assert await world.entries() == []


async def test_a_dataset_that_airflow_does_not_hear_of_is_stored(world: World):
    """The caller hears which one it is, and a repeat tells Airflow."""
    await world.give(await world.answer(), "Who?", "Ada.")
    world.airflow.down = True
    with pytest.raises(Unavailable) as caught:
        await world.export()
    assert caught.value.reason == "DATASET_NOT_ANNOUNCED"
    world.airflow.down = False
    dataset = (await world.export()).dataset
    assert caught.value.metadata == {"dataset_digest": dataset.digest}
    assert [e["dataset"] for e in world.airflow.events] == [f"sha256:{dataset.digest}"]


async def test_a_dead_database_is_unavailable_and_heals(world: World, postgres: Postgres):
    """Callers hear it, and all goes on once it is back."""
    postgres.stop()
    try:
        with pytest.raises(Unavailable) as caught:
            await world.ask("ListFeedback", pb.ListFeedbackRequest())
        assert caught.value.reason == "DATABASE_UNAVAILABLE"
    finally:
        postgres.start()
    assert await world.entries() == []
