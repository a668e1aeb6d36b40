"""What happens behind the registry's back is found in one comparison."""

from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa
from parley.registry.v1 import registry_pb2 as pb

from services.registry import registering
from services.registry.tables import VERSIONS
from services.rpc.mlflow_wire import MlflowWire
from tests.contract.registry.worlds import WAIT_S, World


@pytest.fixture
async def champion(world: World) -> int:
    """The number of a champion, with another version beside it."""
    first, _ = await world.register("a"), await world.register("b")
    await world.promote(first.number, 0)
    return first.number


async def test_nothing_differs_after_a_promotion(world: World, champion: int):
    """A comparison of stores that agree finds nothing and writes nothing."""
    before = await world.audit()
    assert await world.reconcile() == {}
    assert await world.audit() == before
    assert (await world.get()).drift == ""


async def test_an_alias_that_was_moved_is_set_again(world: World, champion: int):
    """MLflow follows our row, and the audit says that it had to."""
    await world.registry.mlflow.set_alias(world.model, "champion", champion + 1)
    assert await world.reconcile() == {"ALIAS_MOVED": True}
    assert await world.alias() == champion
    assert (await world.audit())[0].action == "mend"
    assert await world.reconcile() == {}


async def test_an_alias_that_was_removed_is_set_again(world: World, champion: int, mlflow_address):
    """The same for one that is gone."""
    wire = MlflowWire(mlflow_address, None, WAIT_S)
    gone = {"name": world.model, "alias": "champion"}
    await wire.ask("DELETE", "registered-models/alias", gone)
    await wire.close()
    assert await world.alias() is None
    assert await world.reconcile() == {"ALIAS_REMOVED": True}
    assert await world.alias() == champion


async def test_a_deleted_champion_is_reported_and_still_served(world: World, champion: int):
    """It cannot be mended from here: the model says so, once in the audit, until it is."""
    await world.registry.mlflow.delete_version(world.model, champion)
    assert await world.reconcile() == {"VERSION_DELETED": False}
    assert await world.reconcile() == {"VERSION_DELETED": False}
    model = await world.get()
    assert f"no version {champion}" in model.drift
    assert model.champion == champion
    assert [entry.action for entry in await world.audit()].count("drift") == 1
    watched = world.stub.WatchModels(pb.WatchModelsRequest(), timeout=WAIT_S)
    served = {one.name: one.champion for one in (await watched.read()).models}
    assert served[world.model] == champion
    watched.cancel()


async def test_a_champion_of_mlflow_alone_is_reported(world: World):
    """Who sets the alias past the registry has promoted nothing."""
    version = await world.register()
    await world.registry.mlflow.set_alias(world.model, "champion", version.number)
    assert await world.reconcile() == {"ALIAS_UNKNOWN": False}
    assert (await world.get()).champion == 0


async def test_a_version_made_past_the_registry_is_reported(world: World, champion: int):
    """It is not served, and nobody is left to wonder why."""
    run_id = (await world.register()).evidence.run_id
    tags = {"parley.registration": str(uuid4())}
    mlflow = world.registry.mlflow
    await mlflow.ensure_version(world.model, "s3://elsewhere/x", run_id, tags)
    assert await world.reconcile() == {"VERSION_UNKNOWN": False}


async def test_a_version_deleted_here_alone_is_deleted_there(world: World, champion: int):
    """A delete that died before it reached MLflow is carried through."""
    deleted = VERSIONS.update().where(VERSIONS.c.model == world.model, VERSIONS.c.number == 2)
    await world.registry.store.run(lambda tx: tx.execute(deleted.values(state="deleted")))
    assert await world.reconcile() == {"VERSION_LEFT": True}
    assert not await world.registry.mlflow.has_version(world.model, 2)


async def test_a_registration_that_nobody_ends_is_taken_back(world: World):
    """Neither an empty model nor a version that is half there stays for longer than minutes."""
    wanted = world.registration("a")
    store, mlflow = world.registry.store, world.registry.mlflow
    registration = await store.run(lambda tx: registering._begin(tx, wanted))
    run_id = await mlflow.ensure_run("x", registration)
    await mlflow.ensure_model(world.model)
    await mlflow.ensure_version(
        world.model, "s3://b/x", run_id, {"parley.registration": registration}
    )
    assert await world.reconcile() == {}
    earlier = sa.func.now() - timedelta(hours=1)
    mine = VERSIONS.update().where(VERSIONS.c.id == registration)
    await store.run(lambda tx: tx.execute(mine.values(create_time=earlier)))
    assert await world.reconcile() == {"PENDING": True}
    assert await mlflow.find_aliases(world.model) is None
    assert (await world.register("a")).number == 1


async def test_objects_that_nobody_names_are_removed(world: World):
    """A deleted version's files go, those of every other stay."""
    kept, gone = await world.register("a"), await world.register("b")
    files = {file.key for version in (kept, gone) for file in version.files}
    world.objects.keys = {*files, "mlflow/1/x", "other"}
    await world.registry.reconciler.reconcile()
    assert world.objects.keys == {*files, "mlflow/1/x", "other"}
    await world.delete(gone.number)
    await world.registry.reconciler.reconcile()
    assert world.objects.keys == {*(file.key for file in kept.files), "mlflow/1/x", "other"}


async def test_objects_are_left_alone_while_an_import_runs(world: World):
    """What an import has stored has no version yet."""
    asked = pb.ImportModelRequest(model=world.model, local_folder="/m", request_id=str(uuid4()))
    await world.ask("ImportModel", asked)
    world.objects.keys = {"models/new/config.json"}
    await world.registry.reconciler.reconcile()
    assert world.objects.keys == {"models/new/config.json"}
