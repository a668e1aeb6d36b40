"""What callers hear while a store is away, and that nothing has to be started again."""

import asyncio
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from parley.registry.v1 import registry_pb2 as pb

from services.rpc.errors import ParleyError, Unavailable
from tests.contract.registry.conftest import store_at
from tests.contract.registry.worlds import WAIT_S, World, open_world
from tests.fakes.mlflow import FakeMlflow
from tests.fakes.postgres import Postgres, migrate

# The deadline as it is in use; an answer may take a little longer on a busy machine.
DEADLINE_S = 1.0
ANSWER_S_MAX = 5.0


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A server that this test may stop."""
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        server = Postgres(Path(folder))
        server.start()
        server.create("r")
        asyncio.run(migrate(store_at(server.uri("r"))))
        yield server
        server.stop()


@pytest.fixture
async def fragile(
    own_postgres: Postgres, socket_folder: Path, mlflow_address: str
) -> AsyncIterator[World]:
    """A registry on that server, as impatient as in use."""
    uri = own_postgres.uri("r")
    async with open_world(socket_folder, uri, mlflow_address, DEADLINE_S) as world:
        yield world


async def until_healed(world: World) -> None:
    """Asks until there is an answer."""
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                await world.ask("ListModels", pb.ListModelsRequest())
                return
            except Unavailable:
                await asyncio.sleep(0.1)


async def test_a_dead_database_is_unavailable_and_heals(fragile: World, own_postgres: Postgres):
    """Callers hear it soon, watchers keep their state, and all goes on once it is back."""
    await until_healed(fragile)
    watched = fragile.stub.WatchModels(pb.WatchModelsRequest(), timeout=2 * WAIT_S)
    await watched.read()
    own_postgres.stop()
    began = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        await fragile.get()
    assert caught.value.reason == "DATABASE_UNAVAILABLE"
    assert time.monotonic() - began < ANSWER_S_MAX
    again = fragile.stub.WatchModels(pb.WatchModelsRequest(), timeout=WAIT_S)
    assert (await again.read()).revision == 0
    own_postgres.start()
    await until_healed(fragile)
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                version = await fragile.register()
                await fragile.promote(version.number, (await fragile.get()).champion)
                break
            except ParleyError as error:  # The machine may be slow to come back, too.
                assert isinstance(error, Unavailable)
    while not (state := await watched.read()).models:
        pass  # the version is registered, and not promoted yet
    assert state.models[0].champion == version.number


async def test_a_frozen_database_is_unavailable_and_heals(fragile: World, own_postgres: Postgres):
    """One that takes connections and says nothing is as good as dead."""
    await until_healed(fragile)
    own_postgres.signal(signal.SIGSTOP)
    try:
        for _ in range(10):
            began = time.monotonic()
            with pytest.raises(Unavailable):
                await fragile.get()
            assert time.monotonic() - began < ANSWER_S_MAX
    finally:
        own_postgres.signal(signal.SIGCONT)
    await until_healed(fragile)


async def test_mlflow_away_changes_nothing(world: World, fake_mlflow: FakeMlflow):
    """A promotion that cannot be carried through is not begun; reading goes on."""
    version = await world.register()
    fake_mlflow.down = True
    with pytest.raises(Unavailable) as caught:
        await world.promote(version.number, 0)
    assert caught.value.reason == "MLFLOW_UNAVAILABLE"
    assert (await world.get()).champion == 0
    with pytest.raises(Unavailable):
        await world.ask("Reconcile", pb.ReconcileRequest())
    fake_mlflow.down = False
    await world.promote(version.number, 0)
    assert await world.alias() == version.number


@pytest.mark.parametrize("state", ["down", "frozen"])
async def test_a_store_away_is_heard_of_before_anything_is_compared(
    socket_folder: Path, database_uri: str, mlflow_address: str, fake_mlflow: FakeMlflow, state: str
):
    """One that refuses and one that hangs alike; all are asked at once, and nothing is mended."""
    async with open_world(socket_folder, database_uri, mlflow_address, DEADLINE_S) as world:
        setattr(world.objects, state, True)
        with pytest.raises(Unavailable) as caught:
            await world.ask("Reconcile", pb.ReconcileRequest())
        assert caught.value.reason == "OBJECT_STORE_UNAVAILABLE"
        assert set(fake_mlflow.calls) <= {"experiments/get-by-name"}
        setattr(world.objects, state, False)
        await world.ask("Reconcile", pb.ReconcileRequest())


async def test_a_registry_starts_before_its_database(socket_folder: Path, tmp_path: Path):
    """It listens, says UNAVAILABLE, and is ready when the database is."""
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        server = Postgres(Path(folder))
        opening = open_world(socket_folder, server.uri("postgres"), "unix:/none", DEADLINE_S)
        entering = asyncio.create_task(opening.__aenter__())
        await asyncio.to_thread(server.start)
        world = await entering
        await until_healed(world)
        await opening.__aexit__(None, None, None)
        server.stop()
