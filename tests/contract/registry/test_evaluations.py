"""Evaluations that are recorded after a version was registered, as callers see them."""

import json
import math
from uuid import uuid4

import pytest
from parley.registry.v1 import registry_pb2 as pb

from services.registry import evaluations
from services.rpc.errors import FailedPrecondition, InvalidArgument, NotFound
from tests.contract.registry.worlds import World

DATASET, OTHER = "d" * 64, "e" * 64


async def show(world: World, number: int) -> pb.ModelVersion:
    """The version, read back."""
    asked = pb.GetModelVersionRequest(model=world.model, version=str(number))
    return (await world.ask("GetModelVersion", asked)).version


async def tags(world: World) -> dict[str, dict[str, float]]:
    """What MLflow's only version says of its evaluations, by dataset."""
    (version,) = await world.registry.mlflow.list_versions(world.model)
    prefix = "parley.evaluation."
    return {
        key.removeprefix(prefix): json.loads(value)
        for key, value in version.tags.items()
        if key.startswith(prefix)
    }


async def test_an_evaluation_is_with_its_version_and_in_mlflow(world: World):
    """Who recorded it and when; the evidence stays as it was."""
    version = await world.register(metrics={"accuracy": 0.5}, evaluation_digest=OTHER)
    told = await world.record(version.number, "d", accuracy=0.25, loss=1e22)
    (found,) = told.evaluations
    assert (found.evaluation_digest, found.recorded_by) == (DATASET, "local")
    assert dict(found.metrics) == {"accuracy": 0.25, "loss": 1e22}
    assert found.time.seconds > 0
    assert told == await show(world, version.number)
    assert dict(told.evidence.metrics) == {"accuracy": 0.5}
    assert await tags(world) == {DATASET: {"accuracy": 0.25, "loss": 1e22}}


async def test_the_same_dataset_again_takes_the_place_of_the_first(world: World):
    """The newest is first, and the audit keeps both."""
    number = (await world.register()).number
    for digit, value in (("d", 0.1), ("e", 0.2), ("d", 0.3)):
        await world.record(number, digit, accuracy=value)
    found = (await show(world, number)).evaluations
    assert [(one.evaluation_digest, one.metrics["accuracy"]) for one in found] == [
        (DATASET, 0.3),
        (OTHER, 0.2),
    ]
    newest, _, first, _ = await world.audit()
    assert (newest.action, newest.number) == ("evaluate", number)
    assert json.loads(newest.from_json) == json.loads(first.to_json)
    assert json.loads(newest.to_json)["metrics"] == {"accuracy": 0.3}
    assert (await tags(world))[DATASET] == {"accuracy": 0.3}


async def test_a_repeat_is_recorded_once(world: World):
    """The same request is answered alike, and is one entry of the audit."""
    number = (await world.register()).number
    request = pb.RecordEvaluationRequest(
        model=world.model,
        number=number,
        evaluation_digest=DATASET,
        metrics={"accuracy": 0.5},
        request_id=str(uuid4()),
    )
    answers = [await world.ask("RecordEvaluation", request) for _ in range(3)]
    assert all(answer == answers[0] for answer in answers)
    assert [entry.action for entry in await world.audit()] == ["evaluate", "register"]


async def test_only_the_newest_are_kept(world: World, monkeypatch: pytest.MonkeyPatch):
    """A version that is measured every night does not grow for ever."""
    monkeypatch.setattr(evaluations, "KEPT_MAX", 2)
    number = (await world.register()).number
    for digit in "abc":
        told = await world.record(number, digit, accuracy=0.5)
    assert [one.evaluation_digest[0] for one in told.evaluations] == ["c", "b"]


@pytest.mark.parametrize(
    ("digit", "metrics"),
    [
        ("d", {}),
        ("d", {"accuracy": math.nan}),
        ("d", {"accuracy": math.inf}),
        ("d", {"": 1.0}),
        ("d", {"nul\0": 1.0}),
        ("", {"accuracy": 0.5}),
        ("D", {"accuracy": 0.5}),
    ],
)
async def test_what_is_no_evaluation_is_refused(
    world: World, digit: str, metrics: dict[str, float]
):
    """At least one finite number with a name, on a dataset that has a digest."""
    number = (await world.register()).number
    with pytest.raises(InvalidArgument):
        await world.record(number, digit, **metrics)
    assert not (await show(world, number)).evaluations


async def test_only_what_is_ready_is_evaluated(world: World):
    """Neither a version that is not there, nor one that was deleted."""
    with pytest.raises(NotFound):
        await world.record(1, accuracy=0.5)
    number = (await world.register()).number
    await world.delete(number)
    with pytest.raises(FailedPrecondition) as caught:
        await world.record(number, accuracy=0.5)
    assert caught.value.reason == "VERSION_NOT_READY"


async def test_gates_compare_on_the_candidates_dataset(world: World):
    """A champion must be measured there first; the refusal says so, and the audit what counted."""
    await world.set_policy(gates=[pb.Gate(metric="accuracy", margin=0.02)])
    first = await world.register("a", metrics={"accuracy": 0.99}, evaluation_digest=OTHER)
    second = await world.register("b", metrics={"accuracy": 0.7}, evaluation_digest=DATASET)
    await world.promote(first.number, 0)
    with pytest.raises(FailedPrecondition) as caught:
        await world.promote(second.number, first.number)
    assert "RecordEvaluation" in caught.value.message
    await world.record(first.number, "d", accuracy=0.8)
    with pytest.raises(FailedPrecondition) as caught:
        await world.promote(second.number, first.number)
    assert "accuracy is 0.7, worse than the champion's 0.8 by 0.1" in caught.value.message
    await world.record(first.number, "d", accuracy=0.71)
    await world.promote(second.number, first.number)
    assert (await world.get()).champion == second.number


async def test_versions_with_much_to_tell_come_in_smaller_pages(world: World):
    """A page that asks for all of them is never too large for a message."""
    metrics = {f"{'m' * 100}{number}": 0.5 for number in range(256)}
    numbers = [(await world.register(digit)).number for digit in "ab"]
    for number in numbers:
        for digit in "0123456789":
            await world.record(number, digit, **metrics)
    asked = pb.ListModelVersionsRequest(model=world.model, page_size=1000)
    first = await world.ask("ListModelVersions", asked)
    assert [version.number for version in first.versions] == numbers[1:]
    asked.page_token = first.next_page_token
    rest = await world.ask("ListModelVersions", asked)
    assert [version.number for version in rest.versions] == numbers[:1]
    assert rest.next_page_token == ""


async def test_mlflow_away_loses_no_evaluation(world: World, fake_mlflow):
    """It is recorded all the same, and MLflow gets it when it is back."""
    number = (await world.register()).number
    fake_mlflow.down = True
    assert (await world.record(number, "d", accuracy=0.5)).evaluations
    fake_mlflow.down = False
    assert await tags(world) == {}
    assert await world.reconcile() == {"EVALUATION_MISSING": True}
    assert await tags(world) == {DATASET: {"accuracy": 0.5}}
    assert await world.reconcile() == {}
