"""Canaries on a real PostgreSQL, watched through a mesh whose figures are the test's."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from google.protobuf.duration_pb2 import Duration
from parley.mesh.v1 import mesh_pb2
from parley.registry.v1 import canary_pb2
from parley.registry.v1 import registry_pb2 as pb

from services.rpc.errors import FailedPrecondition, InvalidArgument, NotFound, ParleyError
from tests.contract.registry.worlds import WAIT_S, World, open_world
from tests.fakes.measured_mesh import MeasuredMesh, running_mesh

POLL_S = 0.05
# Nobody waits for these: such a step lasts as long as the test.
LONG_S = 3600
CHAMPION, CANARY = 1, 2
GOOD = {CHAMPION: {"finished": 40}, CANARY: {"finished": 25}}
SLOW = {CHAMPION: {"finished": 40}, CANARY: {"finished": 25, "slowness": 3}}
DYING = {CHAMPION: {"finished": 40}, CANARY: {"failed": 2, "finished": 1}}
Opened = Callable[..., Any]
T = TypeVar("T")


@pytest.fixture
def opened(socket_folder: Path, database_uri: str, mlflow_address: str) -> Opened:
    """Opens a registry on the test's database, beside others or after them."""

    @asynccontextmanager
    async def open_one(name: str = "one", **chosen: Any) -> AsyncIterator[World]:
        (socket_folder / name).mkdir()
        told = {"mesh_address": f"unix:{socket_folder}/mesh.sock", **chosen}
        place = socket_folder / name
        async with open_world(place, database_uri, mlflow_address, **told) as world:
            world.model = "m"
            yield world

    return open_one


@pytest.fixture
async def mesh(socket_folder: Path) -> AsyncIterator[MeasuredMesh]:
    """A mesh in which one replica has both versions ready."""
    made = MeasuredMesh("m")
    for number in (CHAMPION, CANARY):
        made.hold(number)
    async with running_mesh(made, f"unix:{socket_folder}/mesh.sock"):
        yield made


@pytest.fixture
async def watched(opened: Opened, mesh: MeasuredMesh) -> AsyncIterator[World]:
    """A registry with a champion and another version."""
    async with opened() as world:
        await two_versions(world)
        yield world


async def two_versions(world: World) -> None:
    """Registers both, and makes the first one champion."""
    for digit in "ab":
        await world.register(digit)
    await world.promote(CHAMPION, 0)


async def begin(
    world: World, *steps: int, step_s: float = LONG_S, **fields: Any
) -> canary_pb2.CanaryProgress:
    """Asks for a canary of the second version; gives the promotion."""
    duration = Duration()
    duration.FromNanoseconds(round(step_s * 1e9))
    canary = canary_pb2.Canary(steps=steps, step_duration=duration)
    return await world.promote(CANARY, CHAMPION, canary=canary, **fields)


async def until_holds(ask: Callable[[], Awaitable[T]], holds: Callable[[T], bool]) -> T:
    """Asks until something holds of the answer; gives it."""
    async with asyncio.timeout(WAIT_S):
        while not holds(found := await ask()):  # noqa: ASYNC110 (others are asked, and tell nobody)
            await asyncio.sleep(POLL_S)
    return found


async def until(world: World, promotion: pb.Promotion, holds: Callable[[Any], bool]) -> Any:
    """Waits until something holds of a promotion; gives it."""
    return await until_holds(lambda: world.promotion(promotion.id), holds)


async def until_over(world: World, promotion: pb.Promotion) -> Any:
    """Waits for the end of a canary."""
    return await until(world, promotion, lambda one: one.state != pb.PROMOTION_STATE_CANARY)


async def weights(world: World) -> dict[int, int]:
    """How the model's traffic is spread."""
    return {route.number: route.weight for route in (await world.get()).traffic.routes}


def actions(entries: Sequence[Any]) -> list[str]:
    """What was done, oldest first, from the first promotion on."""
    return [one.action for one in reversed(entries) if one.action != "register"]


async def test_a_good_version_becomes_champion_by_itself(watched: World, mesh: MeasuredMesh):
    """Through every step, as any other promotion in the end: champion, audit, and MLflow's alias
    only then."""
    mesh.answering = GOOD
    begun = await begin(watched, 10, 100, step_s=1, as_="ada")
    assert (begun.state, begun.canary.weight) == (pb.PROMOTION_STATE_CANARY, 10)
    assert await weights(watched) == {CHAMPION: 90, CANARY: 10}
    assert await watched.alias() == CHAMPION
    done = await until_over(watched, begun)
    assert (done.state, done.canary.weight) == (pb.PROMOTION_STATE_DONE, 100)
    model = await watched.get()
    assert (model.champion, model.predecessor) == (CANARY, CHAMPION)
    assert (await weights(watched), list(model.waiting)) == ({CANARY: 100}, [])
    await until_holds(watched.alias, lambda number: number == CANARY)
    entries = await watched.audit()
    assert actions(entries) == ["promote", "canary", "step", "promote"]
    assert (entries[0].principal, entries[0].reason) == ("parley", "better")
    assert entries[2].principal == "ada"
    assert json.loads(entries[0].evidence_json)["canary"]["canary"]["failed"] == 0
    assert done.revision == entries[0].id


@pytest.mark.parametrize("bad", [SLOW, DYING], ids=["slow", "dying"])
async def test_a_bad_version_is_rolled_back_with_its_figures(
    watched: World, mesh: MeasuredMesh, bad: dict[int, Any]
):
    """Within seconds, though its step is long; the champion takes all again."""
    begun = await begin(watched, 10, 100)
    mesh.answering = bad
    over = await until_over(watched, begun)
    assert over.state == pb.PROMOTION_STATE_ROLLED_BACK
    assert over.canary.verdict.startswith("worse than the champion: ")
    assert await weights(watched) == {CHAMPION: 100}
    assert ((await watched.get()).champion, await watched.alias()) == (CHAMPION, CHAMPION)
    (entry, *_) = await watched.audit()
    assert (entry.action, entry.principal) == ("rollback", "parley")
    assert entry.reason == over.canary.verdict
    evidence = json.loads(entry.evidence_json)
    assert evidence["canary"]["answers"] >= 3
    assert evidence["champion"]["answers"] >= 40
    assert json.loads(over.canary.evidence_json)["canary"] == evidence["canary"]


async def test_a_version_that_cannot_be_loaded_is_rolled_back(watched: World, mesh: MeasuredMesh):
    """In the replica's words."""
    mesh.hold(CANARY, mesh_pb2.VERSION_PHASE_LOADING)
    begun = await begin(watched, 10, 100)
    await until(watched, begun, lambda one: "until a replica has it" in one.canary.verdict)
    mesh.hold(CANARY, mesh_pb2.VERSION_PHASE_FAILED, detail="it does not fit into memory")
    over = await until_over(watched, begun)
    assert over.state == pb.PROMOTION_STATE_ROLLED_BACK
    assert over.canary.verdict.endswith("it does not fit into memory")


async def test_without_traffic_a_step_is_held_and_then_rolled_back(
    opened: Opened, mesh: MeasuredMesh
):
    """It says so at first, and is not stuck for ever."""
    async with opened(canary_idle_s=2) as world:
        await two_versions(world)
        begun = await begin(world, 10, 100, step_s=1)
        await until(world, begun, lambda one: one.canary.verdict.startswith("held: no answers"))
        over = await until_over(world, begun)
        assert over.state == pb.PROMOTION_STATE_ROLLED_BACK
        assert "no answers yet" in over.canary.verdict


async def test_a_mesh_that_is_away_rolls_back_in_the_end(opened: Opened, socket_folder: Path):
    """Nobody sees how it does, so it may not go on."""
    async with opened(canary_blind_s=2) as world:
        await two_versions(world)
        begun = await begin(world, 10, 100, step_s=1)
        await until(world, begun, lambda one: "does not answer" in one.canary.verdict)
        over = await until_over(world, begun)
        assert over.state == pb.PROMOTION_STATE_ROLLED_BACK
        assert "the mesh has not answered for" in over.canary.verdict


async def test_a_restarted_replica_keeps_no_canary_from_its_end(watched: World, mesh: MeasuredMesh):
    """Its counters begin at zero; what it had counted before stays counted."""
    begun = await begin(watched, 10, 100)
    mesh.answering = GOOD
    await until(watched, begun, lambda one: _answers(one) >= 50)
    mesh.answering = {}
    before = _answers(await watched.promotion(begun.id))
    mesh.restart()
    mesh.answer(CANARY, finished=5)
    after = await until(watched, begun, lambda one: _answers(one) > before)
    assert _answers(after) == before + 5


async def test_a_killed_registry_goes_on_where_it_was(opened: Opened, mesh: MeasuredMesh):
    """Another one takes the canary up in its step, with what was counted so far."""
    async with opened("first") as first:
        await two_versions(first)
        begun = await begin(first, 10, 100)
        mesh.answering = GOOD
        before = await until(first, begun, lambda one: _answers(one) >= 50)
    async with opened("second") as second:
        found = await until(second, begun, lambda one: _answers(one) > _answers(before))
        assert found.state == pb.PROMOTION_STATE_CANARY
        assert found.canary.step_time == before.canary.step_time
        mesh.answering = DYING
        mesh.answer(CANARY, failed=200)
        assert (await until_over(second, begun)).state == pb.PROMOTION_STATE_ROLLED_BACK


async def test_two_registries_do_each_step_once(opened: Opened, mesh: MeasuredMesh):
    """Whichever looks first decides; the other one finds it done."""
    mesh.answering = GOOD
    async with opened("first") as first, opened("second") as second:
        await two_versions(first)
        begun = await begin(first, 10, 50, 100, step_s=1)
        assert (await until_over(second, begun)).state == pb.PROMOTION_STATE_DONE
        entries = await first.audit()
    assert actions(entries) == ["promote", "canary", "step", "step", "promote"]


async def test_two_registries_count_each_answer_once(opened: Opened, mesh: MeasuredMesh):
    """Both look at the same replicas, and write into the same row."""
    async with opened("first") as first, opened("second"):
        await two_versions(first)
        begun = await begin(first, 10, 100)
        await until(first, begun, lambda one: one.canary.verdict.startswith("no answers"))
        mesh.answering = GOOD
        await until(first, begun, lambda one: _answers(one) >= 100)
        mesh.answering = {}
        counted = mesh.hold(CANARY).counts.finished
        looks = mesh.looks
        await until_holds(lambda: first.promotion(begun.id), lambda _: mesh.looks > looks + 4)
        assert _answers(await first.promotion(begun.id)) == counted


async def test_while_a_canary_is_under_way_only_a_rollback_is_taken(
    watched: World, mesh: MeasuredMesh
):
    """Promotions and traffic are refused with what to do; the rollback ends the canary."""
    begun = await begin(watched, 10, 100)
    third = (await watched.register("c")).number
    for refused in (
        watched.promote(third, CHAMPION),
        begin(watched, 100),
        watched.set_traffic({CHAMPION: 100}, CHAMPION),
    ):
        with pytest.raises(FailedPrecondition, match="rollback of the model") as caught:
            await refused
        assert caught.value.reason == "CANARY_UNDER_WAY"
        assert caught.value.metadata["promotion"] == begun.id
    assert [one.id for one in (await watched.get()).waiting] == [begun.id]
    over = await watched.roll_back(CHAMPION)
    assert (over.id, over.state) == (begun.id, pb.PROMOTION_STATE_ROLLED_BACK)
    assert over.canary.verdict.startswith("ended by ")
    assert await weights(watched) == {CHAMPION: 100}
    assert (await watched.get()).champion == CHAMPION
    assert (await watched.promote(third, CHAMPION)).state == pb.PROMOTION_STATE_DONE


async def test_a_canary_counts_as_used_and_is_served(watched: World, mesh: MeasuredMesh):
    """It cannot be deleted, and replicas are told to load it and what it takes."""
    begun = await begin(watched, 1, 100)
    with pytest.raises(FailedPrecondition) as caught:
        await watched.delete(CANARY)
    assert caught.value.reason == "VERSION_IN_USE"
    states = watched.stub.WatchModels(pb.WatchModelsRequest(), timeout=WAIT_S)
    (model,) = (await states.read()).models
    states.cancel()
    assert {route.number: route.weight for route in model.traffic.routes} == {1: 99, 2: 1}
    assert {one.number: one.standby for one in model.versions} == {1: False, 2: False}
    await watched.roll_back(CHAMPION)
    assert (await watched.promotion(begun.id)).canary.weight == 0
    assert (await watched.delete(CANARY)).number == CANARY


async def test_a_mirror_comes_back_with_a_rollback(watched: World, mesh: MeasuredMesh):
    """A canary that got copies is measured by its own answers alone meanwhile."""
    await watched.set_traffic({CHAMPION: 100}, CHAMPION, mirror=CANARY)
    await begin(watched, 10, 100)
    assert (await watched.get()).traffic.mirror == 0
    await watched.roll_back(CHAMPION)
    assert (await watched.get()).traffic.mirror == CANARY


async def test_an_approver_is_asked_first(watched: World, mesh: MeasuredMesh):
    """Nothing takes traffic before the answer; then the steps begin."""
    await watched.set_policy(approvers=["bob"])
    waiting = await begin(watched, 10, 100, as_="ada")
    assert (waiting.state, waiting.canary.weight) == (pb.PROMOTION_STATE_WAITING, 0)
    assert list(waiting.canary.canary.steps) == [10, 100]
    assert await weights(watched) == {CHAMPION: 100}
    begun = await watched.answer(waiting.id, True, "bob")
    assert (begun.id, begun.state) == (waiting.id, pb.PROMOTION_STATE_CANARY)
    assert await weights(watched) == {CHAMPION: 90, CANARY: 10}
    other = await watched.register("c")
    with pytest.raises(FailedPrecondition) as caught:
        await watched.promote(other.number, CHAMPION, as_="ada")
    assert caught.value.reason == "CANARY_UNDER_WAY"


async def test_a_gate_refuses_before_and_after(watched: World, mesh: MeasuredMesh):
    """Also one that came while the canary was under way: the champion stays."""
    gates = [pb.Gate(metric="accuracy", floor=0.9)]
    mesh.answering = GOOD
    begun = await begin(watched, 100, step_s=2)
    await watched.set_policy(gates=gates)
    over = await until_over(watched, begun)
    assert over.state == pb.PROMOTION_STATE_ROLLED_BACK
    assert "accuracy" in over.canary.verdict
    with pytest.raises(FailedPrecondition) as caught:
        await begin(watched, 100)
    assert caught.value.reason == "GATE_REFUSED"


@pytest.mark.parametrize("steps", [(1, 50), (50, 10, 100), (100, 100)])
async def test_steps_that_do_not_rise_to_the_whole_are_refused(
    watched: World, mesh: MeasuredMesh, steps: tuple[int, ...]
):
    """With an example of those that do."""
    with pytest.raises(InvalidArgument, match="for example 1,10,50,100"):
        await begin(watched, *steps)
    assert await weights(watched) == {CHAMPION: 100}


async def test_what_cannot_be_compared_is_refused(watched: World, mesh: MeasuredMesh):
    """With traffic spread by hand there is no champion that takes the rest."""
    third = (await watched.register("c")).number
    await watched.set_traffic({CHAMPION: 50, third: 50}, CHAMPION)
    with pytest.raises(FailedPrecondition) as caught:
        await begin(watched, 10, 100)
    assert caught.value.reason == "TRAFFIC_SPREAD"


async def test_a_first_version_has_nothing_to_be_compared_with(opened: Opened, mesh: MeasuredMesh):
    """It is promoted at once."""
    async with opened() as world:
        await world.register("a")
        canary = canary_pb2.Canary(steps=[100])
        with pytest.raises(FailedPrecondition) as caught:
            await world.promote(1, 0, canary=canary)
        assert caught.value.reason == "NO_CHAMPION"


async def test_without_a_mesh_a_canary_is_refused(opened: Opened):
    """Nobody could see how it does; a promotion at once needs no mesh."""
    async with opened(mesh_address="") as world:
        await two_versions(world)
        with pytest.raises(FailedPrecondition, match="PARLEY_REGISTRY_MESH_ADDRESS") as caught:
            await begin(world, 10, 100)
        assert caught.value.reason == "NO_MESH"
        assert await weights(world) == {CHAMPION: 100}
        assert (await world.promote(CANARY, CHAMPION)).state == pb.PROMOTION_STATE_DONE


async def test_a_canary_steps_for_a_minute_by_default(watched: World, mesh: MeasuredMesh):
    """And one that was asked for twice is one."""
    canary = canary_pb2.Canary(steps=[10, 100])
    request_id = "5f0c2b1e-9d3a-4c57-8a6b-0e1f2a3b4c5d"
    asked = {"canary": canary, "request_id": request_id}
    first = await watched.promote(CANARY, CHAMPION, **asked)
    assert first.canary.canary.step_duration.seconds == 60
    assert await watched.promote(CANARY, CHAMPION, **asked) == first
    assert actions(await watched.audit()) == ["promote", "canary"]


async def test_a_promotion_that_is_not_there_is_not_found(watched: World):
    """And one without a canary has none."""
    with pytest.raises(NotFound):
        await watched.promotion("5f0c2b1e-9d3a-4c57-8a6b-0e1f2a3b4c5d")
    with pytest.raises(ParleyError):
        await watched.promotion("no id")
    done = await watched.promote(CANARY, CHAMPION)
    assert not (await watched.promotion(done.id)).HasField("canary")


def _answers(promotion: pb.Promotion) -> int:
    evidence = json.loads(promotion.canary.evidence_json)
    return evidence["canary"]["answers"] if evidence else 0
