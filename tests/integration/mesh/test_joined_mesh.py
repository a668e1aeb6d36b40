"""Replicas that join, the mesh's process, and the real Envoy: who is called, when, and without
whom."""

import signal
import time

import grpc
import psutil
import pytest
from parley.mesh.v1 import mesh_pb2 as pb
from parley.mesh.v1 import mesh_pb2_grpc as pb_grpc

from tests.fakes.mesh import report

from .joined import KEY, WAIT_S, Joined, joined, routed, taken_s
from .programs import eventually

pytestmark = pytest.mark.slow
BOTH = ["serving-0", "serving-1"]
# The target is 0.5 s on a quiet machine; the tests share theirs.
ROUTED_S_MAX = 2.0


@pytest.fixture(scope="module")
def mesh(tmp_path_factory):
    """Two replicas behind an Envoy that follows the mesh."""
    with joined(tmp_path_factory.mktemp("joined")) as made:
        made.start_mesh()
        for name in BOTH:
            made.start_replica(name)
        made.until(lambda found: bool(found.snapshot))
        made.start_envoy()
        yield made


@pytest.fixture
def whole(mesh: Joined) -> Joined:
    """All of it, with Envoy at the newest snapshot."""
    mesh.start_mesh()
    for name in BOTH:
        mesh.start_replica(name)
    mesh.until(lambda found: routed(found) == BOTH)
    # Envoy calls those that it has been told of once their health is good.
    eventually(lambda: _answer(mesh, set(BOTH)), WAIT_S)
    return mesh


@pytest.mark.alone
def test_a_killed_replica_is_out_and_in_again_at_once(whole, record_property):
    """From the death, and from the first word of what is there again, to Envoy's word."""
    died_s = time.time()
    whole.kill("serving-1")
    found = whole.until(lambda found: routed(found) == ["serving-0"] and taken_s(found) > died_s)
    out_s = taken_s(found) - died_s
    assert whole.who_answers() == {"serving-0"}
    whole.start_replica("serving-1")
    said = whole.until(lambda found: not any(one.left for one in found.replicas))
    joined_s = said.replicas[1].join_time.ToNanoseconds() / 1e9
    found = whole.until(lambda found: routed(found) == BOTH and taken_s(found) > joined_s)
    in_s = taken_s(found) - joined_s
    record_property("out_s", round(out_s, 3))
    record_property("in_s", round(in_s, 3))
    print(f"out of the routes after {out_s:.3f} s, in again after {in_s:.3f} s")
    assert out_s < ROUTED_S_MAX
    assert in_s < ROUTED_S_MAX


def test_a_frozen_replica_is_out_after_three_intervals_and_in_again_when_it_speaks(whole):
    """Its connection stays, so only its silence tells."""
    frozen = whole.programs["serving-1"]
    frozen_s = time.time()
    frozen.send_signal(signal.SIGSTOP)
    try:
        whole.until(lambda found: routed(found) == ["serving-0"] and taken_s(found) > frozen_s)
        assert whole.who_answers() == {"serving-0"}
    finally:
        frozen.send_signal(signal.SIGCONT)
    whole.until(lambda found: routed(found) == BOTH)
    eventually(lambda: _answer(whole, set(BOTH)), WAIT_S)


def test_a_drain_fails_no_call(whole):
    """The mesh knows of it first; calls go on to the other one while it ends."""
    draining = whole.programs["serving-1"]
    draining.send_signal(signal.SIGTERM)
    asked = 0
    while draining.poll() is None:
        whole.ask()
        asked += 1
    assert asked
    found = whole.until(lambda found: any(one.left for one in found.replicas))
    assert found.replicas[1].left == "It ended after its drain."


def test_a_replica_joins_through_the_mesh_listener_with_a_key(whole):
    """As one of another host does; its end is seen as soon."""
    whole.start_far_replica("far")
    whole.until(lambda found: routed(found) == ["far", *BOTH])
    eventually(lambda: _answer(whole, {"far", *BOTH}), WAIT_S)
    died_s = time.time()
    whole.kill("far")
    whole.until(lambda found: routed(found) == BOTH and taken_s(found) > died_s)
    assert whole.who_answers() == set(BOTH)


def test_a_persons_key_is_no_replicas(whole):
    """Else whoever may ask could have everyone's questions sent to themselves."""
    with grpc.insecure_channel(whole.envoy.mesh) as channel:
        join = pb_grpc.MeshStub(channel).Join
        answers = join(iter([pb.JoinRequest(report=report("thief"))]), timeout=10, metadata=KEY)
        with pytest.raises(grpc.RpcError) as refusal:
            next(answers)
    assert refusal.value.code() == grpc.StatusCode.PERMISSION_DENIED
    assert whole.who_answers() == set(BOTH)


def test_envoy_goes_on_without_the_mesh(whole):
    """And loses nobody when a process comes that has to learn who is there."""
    whole.kill("mesh")
    assert whole.who_answers() == set(BOTH)
    whole.start_mesh()
    until_s = time.monotonic() + WAIT_S
    while routed(whole.look()) != BOTH:
        assert whole.ask() in BOTH
        assert time.monotonic() < until_s
    assert whole.who_answers() == set(BOTH)


def test_envoy_starts_from_the_last_files_and_follows_them(whole):
    """The mesh may be away for as long as it likes, and be followed when it is back."""
    whole.kill("mesh")
    whole.kill("envoy")
    whole.start_envoy()
    words = psutil.Process(whole.programs["envoy"].pid).cmdline()
    assert "envoy-files.json" in " ".join(words)
    eventually(lambda: _answer(whole, set(BOTH)), WAIT_S)
    whole.start_mesh()
    whole.until(lambda found: len(found.replicas) == len(BOTH))
    whole.kill("serving-1")
    whole.until(lambda found: any(one.left for one in found.replicas))
    eventually(lambda: _answer(whole, {"serving-0"}), WAIT_S)
    whole.start_replica("serving-1")
    eventually(lambda: _answer(whole, set(BOTH)), WAIT_S)
    whole.kill("envoy")
    whole.start_envoy()
    whole.until(lambda found: routed(found) == BOTH)


def _answer(mesh: Joined, names: set[str]) -> bool:
    """Whether exactly these answer."""
    try:
        return mesh.who_answers() == names
    except grpc.RpcError:
        return False
