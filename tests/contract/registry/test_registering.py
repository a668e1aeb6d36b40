"""Registering: one version per (run, digest), however often and at how many places at once."""

import asyncio

import pytest

from services.registry.model import VersionState
from services.rpc.errors import FailedPrecondition
from tests.contract.registry.worlds import World


async def test_a_version_has_a_run_a_number_and_its_evidence(world: World):
    """Without a run of its own, a version gets one, which MLflow has."""
    version = await world.register(metrics={"accuracy": 0.5}, dataset_digest="d" * 64)
    assert (version.state, version.number) == (VersionState.READY, 1)
    assert await world.registry.mlflow.has_run(version.evidence.run_id)
    assert version.evidence.metrics == {"accuracy": 0.5}
    assert version.size_bytes == 30
    assert await world.registry.mlflow.has_version(world.model, 1)


async def test_the_same_files_for_the_same_run_are_one_version(world: World):
    """Once more, and many at a time, is as good as once."""
    wanted = [world.register("a", metrics={"accuracy": 0.5}) for _ in range(6)]
    versions = await asyncio.gather(*wanted)
    assert {version.number for version in versions} == {1}
    assert len(await world.registry.mlflow.list_versions(world.model)) == 1
    assert [entry.action for entry in await world.audit()] == ["register"]


async def test_another_run_makes_another_version(world: World):
    """The same files from two trainings are two versions, and each keeps its run."""
    run_id = await world.registry.mlflow.ensure_run("training", "elsewhere")
    first, second = await world.register("a"), await world.register("a", run_id=run_id)
    assert (first.number, second.number) == (1, 2)
    assert first.evidence.run_id != second.evidence.run_id == run_id


async def test_the_run_that_was_made_for_files_is_theirs(world: World):
    """Who names it later means the version that has it."""
    first = await world.register("a")
    assert (await world.register("a", run_id=first.evidence.run_id)).number == first.number


async def test_what_is_made_already_is_found(world: World):
    """By files and run, as registering finds it; nothing else, and nothing that was deleted."""
    find = world.registry.registrar.find
    assert await find(world.model, "a" * 64, "") is None
    made = await world.register("a")
    for run_id in ("", made.evidence.run_id):
        assert await find(world.model, "a" * 64, run_id) == made
    for digit, run_id in (("b", ""), ("a", "0" * 32)):
        assert await find(world.model, digit * 64, run_id) is None
    await world.delete(made.number)
    assert await find(world.model, "a" * 64, "") is None


async def test_a_run_that_mlflow_does_not_have_is_refused(world: World):
    """Nothing is left of it."""
    with pytest.raises(FailedPrecondition) as caught:
        await world.register("a", run_id="0" * 32)
    assert caught.value.reason == "RUN_NOT_FOUND"
    assert await world.registry.mlflow.find_aliases(world.model) is None
