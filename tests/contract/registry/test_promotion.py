"""Promotion as callers see it: one winner, two people, an audit, and an alias that follows."""

import asyncio
import json
from uuid import uuid4

import pytest
from parley.registry.v1 import registry_pb2 as pb

from services.rpc.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    NotFound,
    ParleyError,
    PermissionDenied,
)
from tests.contract.registry.worlds import World


async def test_a_promoted_version_is_champion_everywhere(world: World):
    """The model, its traffic, the version's aliases and MLflow's alias agree, read back."""
    version = await world.register()
    promotion = await world.promote(version.number, 0)
    assert promotion.state == pb.PROMOTION_STATE_DONE
    model = await world.get()
    assert (model.champion, model.predecessor) == (version.number, 0)
    assert [(r.number, r.weight) for r in model.traffic.routes] == [(version.number, 100)]
    asked = pb.GetModelVersionRequest(model=world.model, version="champion")
    found = (await world.ask("GetModelVersion", asked)).version
    assert (found.number, list(found.aliases)) == (version.number, ["champion"])
    assert await world.alias() == version.number


async def test_one_of_twenty_promoters_wins(world: World):
    """All know the same champion; one is first, and the others hear that it has moved."""
    versions = [await world.register(digit) for digit in "abcd"]

    async def attempt(index: int) -> int:
        try:
            return (await world.promote(versions[index % 4].number, 0)).number
        except Aborted as error:
            assert error.reason == "CHAMPION_MOVED"
            return 0

    won = [number for number in await asyncio.gather(*map(attempt, range(20))) if number]
    assert len(won) == 1
    assert (await world.get()).champion == won[0] == await world.alias()
    assert [entry.number for entry in await world.audit() if entry.action == "promote"] == won


async def test_a_stale_expectation_is_refused(world: World):
    """Who decides on old news is told what is, and nothing is changed."""
    first, second = await world.register("a"), await world.register("b")
    await world.promote(first.number, 0)
    with pytest.raises(Aborted) as caught:
        await world.promote(second.number, 0)
    assert caught.value.metadata["champion"] == str(first.number)
    assert (await world.get()).champion == first.number


async def test_a_repeat_is_answered_with_the_first_answer(world: World):
    """A caller that heard nothing may ask again: nothing is done twice."""
    version = await world.register()
    request_id = str(uuid4())
    asked = [world.promote(version.number, 0, request_id=request_id) for _ in range(8)]
    answers = await asyncio.gather(*asked)
    assert all(answer == answers[0] for answer in answers)
    assert [entry.action for entry in await world.audit()] == ["promote", "register"]


async def test_a_request_id_belongs_to_its_fields(world: World):
    """The same id with other fields, or from another caller, is another request."""
    version = await world.register()
    request_id = str(uuid4())
    await world.promote(version.number, 0, request_id=request_id)
    with pytest.raises(AlreadyExists):
        await world.promote(version.number, 1, request_id=request_id)
    with pytest.raises(AlreadyExists):
        await world.promote(version.number, 0, as_="eve", request_id=request_id)


async def test_a_refused_request_may_be_asked_again(world: World):
    """A refusal changes nothing, so its id is still free when the reason has gone."""
    request_id = str(uuid4())
    with pytest.raises(NotFound):
        await world.promote(1, 0, request_id=request_id)
    version = await world.register()
    promotion = await world.promote(version.number, 0, request_id=request_id)
    assert promotion.state == pb.PROMOTION_STATE_DONE


async def test_a_gate_refuses_in_words(world: World):
    """The caller hears which metric, its value and the bound; the champion stays."""
    await world.set_policy(gates=[pb.Gate(metric="accuracy", floor=0.9)])
    version = await world.register(metrics={"accuracy": 0.8})
    with pytest.raises(FailedPrecondition) as caught:
        await world.promote(version.number, 0)
    assert caught.value.reason == "GATE_REFUSED"
    assert "accuracy is 0.8, below 0.9" in caught.value.message
    assert (await world.get()).champion == 0


async def test_a_promotion_waits_for_another_person(world: World):
    """Neither the one that asked nor a stranger may approve it; one that the policy names may."""
    await world.set_policy(approvers=["ada", "bob"])
    version = await world.register()
    waiting = await world.promote(version.number, 0, as_="ada")
    assert waiting.state == pb.PROMOTION_STATE_WAITING
    assert [one.id for one in (await world.get()).waiting] == [waiting.id]
    assert (await world.get()).champion == 0
    for principal, reason in (("ada", "OWN_PROMOTION"), ("eve", "NOT_AN_APPROVER")):
        with pytest.raises(PermissionDenied) as caught:
            await world.answer(waiting.id, True, principal)
        assert caught.value.reason == reason
    done = await world.answer(waiting.id, True, "bob")
    assert (done.state, done.answered_by) == (pb.PROMOTION_STATE_DONE, "bob")
    model = await world.get()
    assert (model.champion, list(model.waiting)) == (version.number, [])
    assert await world.alias() == version.number


async def test_a_promotion_is_answered_once(world: World):
    """A rejected promotion stays rejected, whoever answers later."""
    await world.set_policy(approvers=["bob"])
    version = await world.register()
    waiting = await world.promote(version.number, 0, as_="ada")
    rejected = await world.answer(waiting.id, False, "bob")
    assert rejected.state == pb.PROMOTION_STATE_REJECTED
    with pytest.raises(FailedPrecondition) as caught:
        await world.answer(waiting.id, True, "bob")
    assert caught.value.reason == "PROMOTION_ANSWERED"
    assert (await world.get()).champion == 0


async def test_an_approval_decides_on_what_is(world: World):
    """A champion that moved, or a gate that came, while it waited stops a promotion."""
    await world.set_policy(approvers=["bob"])
    first, second = await world.register("a"), await world.register("b")
    asked = [await world.promote(v.number, 0, as_="ada") for v in (first, second)]
    await world.answer(asked[0].id, True, "bob")
    with pytest.raises(Aborted):
        await world.answer(asked[1].id, True, "bob")
    again = await world.promote(second.number, first.number, as_="ada")
    await world.set_policy(approvers=["bob"], gates=[pb.Gate(metric="f1", floor=0.5)])
    with pytest.raises(FailedPrecondition) as caught:
        await world.answer(again.id, True, "bob")
    assert caught.value.reason == "GATE_REFUSED"


async def test_a_rollback_goes_back_step_by_step(world: World):
    """It passes gates by, and a second one goes a step further instead of to and fro."""
    numbers = [(await world.register(digit)).number for digit in "abc"]
    for number, expected in zip(numbers, [0, *numbers], strict=False):
        await world.promote(number, expected)
    await world.set_policy(gates=[pb.Gate(metric="f1", floor=0.5)])
    for champion, predecessor in ((numbers[1], numbers[0]), (numbers[0], 0)):
        rolled = await world.roll_back((await world.get()).champion)
        model = await world.get()
        assert rolled.number == model.champion == champion == await world.alias()
        assert model.predecessor == predecessor
    with pytest.raises(FailedPrecondition) as caught:
        await world.roll_back(numbers[0])
    assert caught.value.reason == "NO_PREDECESSOR"


async def test_the_audit_says_who_why_from_what_to_what(world: World):
    """Entries are numbered without a gap, and hold the evidence of the day."""
    version = await world.register(metrics={"accuracy": 0.8})
    await world.promote(version.number, 0, as_="ada")
    promoted, registered = await world.audit()
    assert (promoted.principal, promoted.action, promoted.reason) == ("ada", "promote", "better")
    assert json.loads(promoted.from_json)["champion"] == 0
    assert json.loads(promoted.to_json)["champion"] == version.number
    assert json.loads(promoted.evidence_json)["metrics"] == {"accuracy": 0.8}
    assert promoted.id == registered.id + 1


async def test_a_version_gone_from_mlflow_is_not_promoted(world: World):
    """What the store of record does not have cannot become champion."""
    version = await world.register()
    await world.registry.mlflow.delete_version(world.model, version.number)
    with pytest.raises(FailedPrecondition) as caught:
        await world.promote(version.number, 0)
    assert caught.value.reason == "VERSION_MISSING"
    assert (await world.get()).champion == 0


async def test_traffic_is_spread_over_ready_versions(world: World):
    """Weights sum to 100, each version once, the mirror apart; the champion stays."""
    first, second, third = [(await world.register(digit)).number for digit in "abc"]
    await world.promote(first, 0)
    answer = await world.set_traffic({first: 90, second: 10}, first, mirror=third)
    assert {r.number: r.weight for r in answer.model.traffic.routes} == {first: 90, second: 10}
    assert (answer.model.traffic.mirror, answer.model.champion) == (third, first)
    assert answer.revision == (await world.audit())[0].id
    for weights, mirror in (({first: 99}, 0), ({first: 100}, first), ({first: 50, 99: 50}, 0)):
        with pytest.raises(ParleyError):
            await world.set_traffic(weights, first, mirror)
    with pytest.raises(Aborted):
        await world.set_traffic({first: 100}, second)


async def test_what_is_in_use_cannot_be_deleted(world: World):
    """Champion, predecessor, traffic and mirror are kept; the rest goes, in MLflow too."""
    numbers = [(await world.register(digit)).number for digit in "abcde"]
    await world.promote(numbers[0], 0)
    await world.promote(numbers[1], numbers[0])
    await world.set_traffic({numbers[1]: 50, numbers[2]: 50}, numbers[1], mirror=numbers[3])
    for number in numbers[:4]:
        with pytest.raises(FailedPrecondition) as caught:
            await world.delete(number)
        assert caught.value.reason == "VERSION_IN_USE"
    assert (await world.delete(numbers[4])).state == pb.VERSION_STATE_READY
    asked = pb.GetModelVersionRequest(model=world.model, version=str(numbers[4]))
    assert (await world.ask("GetModelVersion", asked)).version.state == pb.VERSION_STATE_DELETED
    assert not await world.registry.mlflow.has_version(world.model, numbers[4])
    # The same files may come again, as another version.
    assert (await world.register("e")).number > numbers[4]
