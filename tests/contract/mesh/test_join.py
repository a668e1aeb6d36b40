"""Replicas join, report and leave over real gRPC; proxies are told what that comes to."""

import asyncio
import time

import grpc
import pytest
from parley.mesh.v1 import mesh_pb2 as pb

from services.mesh.members import INTERVALS_SILENT
from services.mesh.state import Member, MeshState, ModelTraffic, Share
from services.rpc import errors
from tests.contract.mesh.worlds import INTERVAL_S, WAIT_S, World, present, running
from tests.fakes.mesh import DRAINING, MODEL, READY, report

SHORT_S = 0.2


@pytest.fixture
async def world(tmp_path):
    """A mesh that nobody has joined yet."""
    async with running(tmp_path) as made:
        await made.conductor.begun.wait()
        yield made


def _told(world: World) -> MeshState:
    """The state of which proxies were told last."""
    return world.kept[-1]


async def _error(call: grpc.aio.StreamStreamCall) -> errors.ParleyError:
    """How a stream ends."""
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        async with asyncio.timeout(WAIT_S):
            while await call.read() is not grpc.aio.EOF:
                pass
    return errors.from_rpc_error(ended.value)


async def test_who_joins_is_shown_and_routed_to(world):
    """The first report says all, and its answer says how often to repeat it."""
    call = world.stub.Join(timeout=WAIT_S)
    answer = await world.say(call, report())
    assert answer.interval.ToTimedelta().total_seconds() == INTERVAL_S
    mesh = await world.until(lambda mesh: mesh.models)
    assert present(mesh) == ["serving-0"]
    (version,) = mesh.models[0].versions
    assert (version.version, version.effective_weight) == ("1", 100)
    assert version.replicas == ["serving-0"]
    assert mesh.snapshot == world.proxies.told[-1][0].version


@pytest.mark.parametrize("metadata", [
    (("x-parley-client", "ada"),),
    (("x-parley-client", "gateway"), ("x-parley-principal", "ada")),
    (("x-parley-client", "ada"), ("x-parley-principal", "local")),
])  # fmt: skip
async def test_a_persons_key_is_no_replicas(world, metadata):
    """Who may ask may not be one who answers, whatever it would report."""
    call = world.stub.Join(timeout=WAIT_S, metadata=metadata)
    error = await _error(call)
    assert isinstance(error, errors.PermissionDenied)
    assert error.reason == "NO_REPLICA"
    assert present(await world.look()) == []


async def test_what_comes_at_once_is_told_once(tmp_path):
    """Gains within a moment are one snapshot."""
    async with running(tmp_path, coalesce_s=2.0) as world:
        await world.conductor.begun.wait()
        calls = [await world.join(report(f"serving-{number}")) for number in range(4)]
        await world.until(lambda mesh: mesh.models)
        assert [len(state.members) for state in world.kept] == [0, len(calls)]


async def test_a_broken_stream_is_told_at_once(world):
    """Nobody waits for a silence where the end is seen."""
    call = await world.join(report())
    await world.join(report("serving-1"))
    await world.until(lambda mesh: len(mesh.models) == 1 and len(present(mesh)) == 2)
    call.cancel()
    mesh = await world.until(lambda mesh: present(mesh) == ["serving-1"])
    assert mesh.replicas[0].left == "Its stream ended."
    assert world.proxies.told[-1][1], "a loss is urgent"
    assert [member.name for member in _told(world).members] == ["serving-1"]


async def test_a_drain_is_told_at_once_and_shown_as_such(world):
    """It takes nothing new while its streams go on."""
    call = await world.join(report())
    await world.until(lambda mesh: mesh.models)
    await world.say(call, report(state=DRAINING))
    mesh = await world.look()
    assert mesh.replicas[0].report.state == DRAINING
    assert world.proxies.told[-1][1]
    assert not _told(world).members[0].serving
    await call.done_writing()
    mesh = await world.until(lambda mesh: not present(mesh))
    assert mesh.replicas[0].left == "It ended after its drain."


async def test_silence_ends_a_stay_and_a_word_renews_it(tmp_path):
    """The stream is still there, and so is the replica once it speaks."""
    async with running(tmp_path, interval_s=SHORT_S) as world:
        call = await world.join(report())
        await world.until(lambda mesh: not present(mesh))
        await world.say(call, report())
        await world.until(lambda mesh: not mesh.replicas[0].left)


async def test_a_mesh_that_was_held_up_itself_takes_nobody_for_silent(tmp_path):
    """Else a busy machine would take all replicas from the proxies at once."""
    async with running(tmp_path, interval_s=SHORT_S) as world:
        call = await world.join(report())
        await world.until(lambda mesh: mesh.models)
        held_up = len(world.kept)
        time.sleep(INTERVALS_SILENT * SHORT_S * 1.5)  # noqa: ASYNC251 (nothing else may run)
        await world.say(call, report())
        assert present(await world.look()) == ["serving-0"]
        assert not world.kept[held_up:]


async def test_who_comes_under_a_taken_name_takes_the_place(world):
    """And the stream that had it hears why it is ended."""
    old = await world.join(report())
    await world.join(report(address="unix:/run/new.sock"))
    error = await _error(old)
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "NAME_TAKEN")
    mesh = await world.look()
    assert present(mesh) == ["serving-0"]
    assert mesh.replicas[0].report.address == "unix:/run/new.sock"


@pytest.mark.parametrize(
    ("said", "field"),
    [
        (report("a name"), "report.name"),
        (report(address="somewhere:80"), "report.address"),
        (report(address="unix:/" + "x" * 200), "report.address"),
        (report(state=pb.REPLICA_STATE_UNSPECIFIED), "report.state"),
        (report(versions={"": READY}), "report.versions.version"),
    ],
    ids=["name", "host name", "long path", "no state", "no version"],
)
async def test_a_report_that_is_wrong_is_refused_by_its_field(world, said, field):
    """Nothing of it reaches proxies."""
    call = world.stub.Join(timeout=WAIT_S)
    await call.write(pb.JoinRequest(report=said))
    error = await _error(call)
    assert (error.code, error.metadata["field"]) == (grpc.StatusCode.INVALID_ARGUMENT, field)
    assert present(await world.look()) == []


async def test_a_mesh_that_ends_lets_nobody_leave(world):
    """Streams end with a word, and proxies keep what they have."""
    call = await world.join(report())
    await world.until(lambda mesh: mesh.models)
    told = len(world.proxies.told)
    world.conductor.close()
    world.servicer.close()
    error = await _error(call)
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "GOING_AWAY")
    assert present(await world.look()) == ["serving-0"]
    assert len(world.proxies.told) == told


BEFORE = MeshState(
    (
        Member("serving-0", "unix:/run/serving-0.sock", frozenset({(MODEL, "1")}), True),
        Member("serving-1", "unix:/run/serving-1.sock", frozenset({(MODEL, "1")}), True),
    ),
    (ModelTraffic(MODEL, (Share("1", 100),), (), ("1",)),),
)


async def test_a_mesh_that_begins_anew_tells_what_it_told_before(tmp_path):
    """Proxies must not lose replicas for not having joined again yet."""
    async with running(tmp_path, before=BEFORE) as world:
        await world.conductor.begun.wait()
        await world.join(report())
        await world.join(report("serving-1"))
        await world.until(lambda mesh: present(mesh) == ["serving-0", "serving-1"])
        assert world.kept == [BEFORE]


async def test_who_joins_again_and_dies_is_not_taken_for_absent(tmp_path):
    """A loss is a loss at once, also in the first seconds."""
    async with running(tmp_path, before=BEFORE) as world:
        call = await world.join(report("serving-1"))
        call.cancel()
        await world.until(lambda mesh: any(one.left for one in mesh.replicas))
        assert [member.name for member in _told(world).members] == ["serving-0"]


async def test_who_does_not_come_back_is_given_up(tmp_path):
    """Who has not joined again within ten intervals is not there."""
    async with running(tmp_path, before=BEFORE, interval_s=SHORT_S) as world:
        call = await world.join(report())
        async with asyncio.timeout(WAIT_S):
            while not world.kept or len(_told(world).members) == len(BEFORE.members):
                await world.say(call, report())
        assert [member.name for member in _told(world).members] == ["serving-0"]


async def test_without_its_registry_a_mesh_begins_with_what_was_said_last(tmp_path):
    """Weights are kept over a restart of both."""
    async with running(tmp_path, before=BEFORE, registry=True) as world:
        await world.conductor.begun.wait()
        assert _told(world).models == BEFORE.models


async def test_a_mesh_that_never_knew_its_registry_does_not_wait_for_ever(tmp_path):
    """Replicas choose by themselves, as long as nobody says how traffic is spread."""
    async with running(tmp_path, registry=True, interval_s=SHORT_S) as world:
        await world.join(report())
        assert not world.kept
        await asyncio.wait_for(world.conductor.begun.wait(), WAIT_S)
        assert _told(world).models == ()


async def test_what_the_registry_says_is_told(tmp_path):
    """And nothing before it has said anything, so that no share is lost for a moment."""
    async with running(tmp_path, registry=True) as world:
        await world.join(report(versions={"1": READY, "2": READY}))
        assert not world.proxies.told
        shares = (Share("1", 90), Share("2", 10))
        world.conductor.on_traffic(7, (ModelTraffic(MODEL, shares, (), ("1", "2")),))
        mesh = await world.until(lambda mesh: mesh.models)
        assert mesh.revision == 7
        assert [(one.version, one.weight) for one in mesh.models[0].versions] == [
            ("1", 90),
            ("2", 10),
        ]
