"""Who is in the mesh: by reports, silences and takeovers."""

import pytest
from parley.mesh.v1 import mesh_pb2 as pb

from services.mesh.members import SHOWN_S, Change, Members
from services.mesh.state import Member
from services.rpc.errors import InvalidArgument, ResourceExhausted, Unavailable
from tests.fakes.mesh import DRAINING, LOADING, MODEL, READY, report

SILENT_S = 3.0


@pytest.fixture
def members():
    """A mesh of two replicas at most, which report each second."""
    return Members(interval_s=1.0, members_max=2)


def test_a_replica_that_reports_is_in_the_mesh(members):
    """Its first report is enough."""
    _, change = members.take(None, report(), 0)
    assert change is Change.MORE
    ready = frozenset({(MODEL, "1")})
    assert members.present() == (Member("serving-0", "unix:/run/serving-0.sock", ready, True),)


def test_a_report_that_says_nothing_new_changes_nothing(members):
    """Load and counts are for people."""
    stay, _ = members.take(None, report(), 0)
    later = report()
    later.versions[0].running = 5
    assert members.take(stay, later, 1)[1] is Change.NONE
    assert members.shown()[0].report.versions[0].running == 5


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        (report(versions={"1": READY, "2": LOADING}), report(versions={"1": READY, "2": READY}),
         Change.MORE),
        (report(versions={"1": READY, "2": READY}), report(versions={"1": READY}), Change.LESS),
        (report(versions={"1": READY}), report(versions={"2": READY}), Change.LESS),
        (report(), report(state=DRAINING), Change.LESS),
        (report(), report(state=pb.REPLICA_STATE_LOADING), Change.LESS),
        (report(), report(address="unix:/run/other.sock"), Change.LESS),
        (report(state=pb.REPLICA_STATE_LOADING), report(), Change.MORE),
    ],
    ids=["more ready", "less ready", "another ready", "drains", "lost all", "moved", "serves"],
)  # fmt: skip
def test_what_is_lost_is_told_apart_from_what_is_gained(members, before, after, change):
    """A loss is urgent, a gain is not."""
    stay, _ = members.take(None, before, 0)
    assert members.take(stay, after, 1)[1] is change


@pytest.mark.parametrize("state", [DRAINING, pb.REPLICA_STATE_LOADING])
def test_what_does_not_serve_has_nothing_ready(members, state):
    """A replica that drains keeps its versions until its streams have ended, for those alone."""
    members.take(None, report(state=state), 0)
    (member,) = members.present()
    assert not member.serving
    assert not member.ready


def test_silence_ends_a_stay_and_the_next_word_brings_it_back(members):
    """A replica that was frozen is out after three intervals, and in again when it speaks."""
    stay, _ = members.take(None, report(), 0)
    assert members.expire(SILENT_S - 0.01) is Change.NONE
    assert members.expire(SILENT_S) is Change.LESS
    assert not members.present()
    assert "3 s" in members.shown()[0].left
    again, change = members.take(stay, report(), 10)
    assert (again, change) == (stay, Change.MORE)
    assert not stay.left


def test_only_silent_ones_leave(members):
    """Each replica's time is its own."""
    members.take(None, report("serving-0"), 0)
    members.take(None, report("serving-1"), 1)
    members.expire(SILENT_S)
    assert [member.name for member in members.present()] == ["serving-1"]


def test_an_ended_stream_is_a_loss_at_once(members):
    """Nobody waits for silence where the end is seen."""
    stay, _ = members.take(None, report(), 0)
    assert members.leave(stay, "Its stream ended.", 0.1) is Change.LESS
    assert members.leave(stay, "Its stream ended.", 0.2) is Change.NONE
    assert members.shown()[0].left == "Its stream ended."


def test_those_that_left_are_shown_for_a_minute(members):
    """People see what has just gone; memory is bounded."""
    stay, _ = members.take(None, report(), 0)
    members.leave(stay, "gone", 5)
    members.expire(5 + SHOWN_S - 0.01)
    assert members.shown()
    members.expire(5 + SHOWN_S)
    assert not members.shown()


def test_a_new_stream_takes_the_place_of_an_old_one(members):
    """A replica that was started again need not wait until its old stream is missed."""
    old, _ = members.take(None, report(), 0)
    new, change = members.take(None, report(address="unix:/run/new.sock"), 1)
    assert change is Change.LESS, "the old address must not be called any more"
    assert (members.holds(old), members.holds(new)) == (False, True)
    assert members.leave(old, "Its stream ended.", 2) is Change.NONE
    assert [member.address for member in members.present()] == ["unix:/run/new.sock"]


def test_who_lost_its_place_does_not_get_it_back_by_reporting(members):
    """Two replicas of one name do not take turns within their streams."""
    old, _ = members.take(None, report(), 0)
    members.take(None, report(), 1)
    with pytest.raises(Unavailable, match="a name of its own"):
        members.take(old, report(), 2)


def test_a_stream_keeps_its_name(members):
    """One stream is one replica."""
    stay, _ = members.take(None, report("serving-0"), 0)
    with pytest.raises(InvalidArgument, match="serving-1 needs one of its own"):
        members.take(stay, report("serving-1"), 1)


def test_a_full_mesh_refuses_newcomers_and_keeps_its_own(members):
    """The bound holds for those that are there; who left makes room, who returns needs it."""
    first, _ = members.take(None, report("serving-0"), 0)
    members.take(None, report("serving-1"), 0)
    with pytest.raises(ResourceExhausted, match="2 replicas"):
        members.take(None, report("serving-2"), 0)
    members.take(None, report("serving-1"), 1)
    members.leave(first, "gone", 2)
    members.take(None, report("serving-2"), 2)
    with pytest.raises(ResourceExhausted):
        members.take(first, report("serving-0"), 3)
