"""A real Envoy follows the mesh while it changes: nothing is routed to nowhere on the way."""

import threading

import grpc
import pytest

from .controls import (
    Caller,
    Load,
    RunningControl,
    discovered,
    figure,
    following,
    member,
    running_control,
    serving,
    snapshot,
    state,
)
from .programs import eventually, running_envoy

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
ALIASES = (("champion", "1"), ("next", "2"))


@pytest.fixture(scope="module")
def mesh(tmp_path_factory):
    """Two replicas: a has versions 1 and 2, b has 2 alone; nine of ten requests are for 1."""
    folder = tmp_path_factory.mktemp("mesh")
    first = state(
        member(folder, "a", "1", "2"), member(folder, "b", "2"), aliases=ALIASES, v1=90, v2=10
    )
    with serving(folder, "a", "b"), following(folder, first) as (control, envoy):
        yield control, envoy


@pytest.fixture(scope="module")
def caller(mesh):
    """Asks the module's mesh, once it answers."""
    caller = Caller(mesh[1])
    eventually(lambda: caller.who("m@1") == ("a", "1") and caller.who("m@2") == ("b", "2"))
    return caller


def test_a_conversation_draws_one_version(caller):
    """By its number, modulo 100: ninety of them are version 1's, and the same one stays."""
    drawn = {draw: caller.who("m", draw=draw)[1] for draw in (0, 42, 89, 90, 99, 1_000_095)}
    assert drawn == {0: "1", 42: "1", 89: "1", 90: "2", 99: "2", 1_000_095: "2"}
    largest = (1 << 64) - 1
    assert {caller.who("m", draw=largest)[1] for _ in range(5)} == {"1"}  # ...615


def test_requests_of_no_conversation_are_spread(caller):
    """Both versions are drawn, the heavier one more often."""
    drawn = [caller.who("m")[1] for _ in range(200)]
    assert 150 <= drawn.count("1") <= 198
    assert drawn.count("1") + drawn.count("2") == 200


@pytest.mark.parametrize(
    ("asked", "version"), [("m@1", "1"), ("m@2", "2"), ("m@champion", "1"), ("m@next", "2")]
)
def test_a_version_or_an_alias_is_what_is_asked_for(caller, asked, version):
    """Whatever the weights say, and whatever the caller says that the proxy had drawn."""
    assert {caller.who(asked, version="7")[1] for _ in range(5)} == {version}


@pytest.mark.parametrize("model", ["", "other", "m@3", "M"])
def test_what_is_not_known_goes_to_any_replica(caller, model):
    """Which answers for itself; a version that the caller makes up does not reach it."""
    assert {caller.who(model, version="2") for _ in range(20)} == {("a", ""), ("b", "")}


def test_a_replica_that_the_caller_prefers_answers(caller):
    """As long as it has what is asked for; another one answers otherwise."""
    assert {caller.who("m@2", replica="b") for _ in range(20)} == {("b", "2")}
    assert {caller.who("m@2", replica="a") for _ in range(20)} == {("a", "2")}
    assert {caller.who("m@1", replica="b") for _ in range(5)} == {("a", "1")}
    assert {caller.who(replica="b") for _ in range(20)} == {("b", "")}
    assert {caller.who("m@2", replica="gone") for _ in range(20)} == {("a", "2"), ("b", "2")}
    assert "saw-x-parley-replica" not in caller.ask("m@2", replica="b")


def test_a_preferred_replica_that_is_sick_is_not_replaced(tmp_path):
    """Envoy looks no further: the call fails at once, and the caller asks again without a
    preference."""
    a, b = member(tmp_path, "a", "1"), member(tmp_path, "b", "1")
    with (
        serving(tmp_path, "a", "b") as servers,
        following(tmp_path, state(a, b, v1=100)) as (
            _,
            envoy,
        ),
    ):
        caller = Caller(envoy)
        eventually(lambda: caller.who("m", replica="b") == ("b", "1"))
        servers["b"].stop(None).wait(10)
        eventually(lambda: figure(envoy, "cluster.m@1.membership_healthy") == 1)
        assert caller.who("m", replica="b") is UNAVAILABLE
        assert {caller.who("m") for _ in range(10)} == {("a", "1")}


def test_the_mesh_process_is_reached_through_the_mesh(caller):
    """So that replicas of other machines can join."""
    assert caller.get_mesh().snapshot == "the mesh"


def test_nothing_is_told_twice(mesh):
    """What has not changed is not sent."""
    control, envoy = mesh
    names = [f"cluster_manager.cds.{one}" for one in ("update_attempt", "update_success")]
    before = [figure(envoy, name) for name in names]
    sent = {kind: one.acknowledge_time_s for kind, one in control.statuses().items()}
    again = state(
        member(envoy.folder, "b", "2"),
        member(envoy.folder, "a", "2", "1"),
        aliases=ALIASES[::-1],
        v1=90,
        v2=10,
    )
    control.tell(again)
    assert [figure(envoy, name) for name in names] == before
    assert {kind: one.acknowledge_time_s for kind, one in control.statuses().items()} == sent


def test_versions_come_and_go_under_load_and_no_call_fails(tmp_path):
    """What is new takes calls once its replicas can, and what goes is left before it goes."""
    a1, a2 = member(tmp_path, "a", "1"), member(tmp_path, "a", "1", "2")
    b2, b3 = member(tmp_path, "b", "2"), member(tmp_path, "b", "2", "3")
    steps = [
        (state(a1, b2, v1=100), {"1"}),
        (state(a1, b2, v1=50, v2=50), {"1", "2"}),
        (state(a2, b3, v2=50, v3=50), {"2", "3"}),
        (state(a1, b3, v3=100), {"3"}),
        (state(a1, b2, v1=100, v2=0), {"1"}),
    ]
    with serving(tmp_path, "a", "b"), following(tmp_path, state(a1, v1=100)) as (control, envoy):
        eventually(lambda: Caller(envoy).who("m") == ("a", "1"))
        with Load(envoy, "m") as load:
            load.since(20)
            for told, versions in steps * 2:
                control.tell(told)
                assert {version for _, version in load.since(60)[10:]} == versions
        failed = [one for one in load.answers if not isinstance(one, tuple)]
        assert (failed, len(load.answers) > 500) == ([], True)


def test_a_stream_outlives_its_replicas_leave(tmp_path):
    """A replica that drains is out of all routes at once, and finishes what it has."""
    a, b = member(tmp_path, "a", "1"), member(tmp_path, "b", "1", "2")
    gone = member(tmp_path, "b", serving=False)
    with serving(tmp_path, "a", "b"), following(tmp_path, state(a, b, v1=100)) as (control, envoy):
        caller = Caller(envoy)
        eventually(lambda: caller.who("m@2") == ("b", "2"))
        streams = [caller.stream("m@1", 30, 0.05, replica="b"), caller.stream("m@2", 30, 0.05)]
        assert [next(stream).delta.text for stream in streams] == ["b", "b"]
        control.tell(state(a, gone, v1=100), urgent=True)
        assert {caller.who("m", replica="b") for _ in range(30)} == {("a", "1")}
        assert {caller.who("m@2") for _ in range(10)} == {("a", "")}  # nobody has it: anybody
        for stream in streams:
            assert [one.delta.position for one in stream] == list(range(1, 30))


def test_a_refused_change_leaves_what_was_good(tmp_path):
    """It is known by its version and the proxy's words, is not sent again, and the next good one
    is taken, whatever it changes."""
    a, b = member(tmp_path, "a", "1"), member(tmp_path, "b", "1")
    with serving(tmp_path, "a", "b"), following(tmp_path, state(a, v1=100)) as (control, envoy):
        caller = Caller(envoy)
        eventually(lambda: caller.who("m") == ("a", "1"))
        good = control.statuses()["routes"].acknowledged
        bad = control.publish(control.refused_routes(state(a, v1=100)))
        status = eventually(lambda: (found := control.statuses()["routes"]).refused and found)
        assert (status.refused, status.acknowledged) == (bad.versions["routes"], good)
        assert "NO_SUCH_COMMAND" in status.refusal
        rejected = "http.mesh.rds.mesh.update_rejected"
        assert figure(envoy, rejected) == 1
        # Endpoints go on, and the refused routes are not sent again.
        control.publish(control.refused_routes(state(a, b, v1=100)))
        eventually(lambda: {caller.who("m") for _ in range(20)} == {("a", "1"), ("b", "1")})
        assert figure(envoy, rejected) == 1
        control.tell(state(a, b, v1=100, aliases=(("x", "1"),)))
        assert caller.who("m@x")[1] == "1"
        status = control.statuses()["routes"]
        assert (status.refused, status.refusal) == ("", "")


def test_a_refused_cluster_is_led_to_by_no_route(tmp_path):
    """What else has changed goes on: replicas come and go, until there is a good one."""
    a, b = member(tmp_path, "a", "1"), member(tmp_path, "b", "1", "2")
    with serving(tmp_path, "a", "b"), following(tmp_path, state(a, v1=100)) as (control, envoy):
        caller = Caller(envoy)
        eventually(lambda: caller.who("m") == ("a", "1"))
        told = state(a, b, v1=50, v2=50)
        control.publish(control.refused_cluster(told, "m@2"))
        eventually(lambda: control.statuses()["clusters"].refused)
        eventually(lambda: {caller.who("m") for _ in range(20)} == {("a", "1"), ("b", "1")})
        assert control.statuses()["clusters"].refusal
        control.tell(told)
        assert {version for _, version in (caller.who("m") for _ in range(40))} == {"1", "2"}


def test_a_control_plane_that_begins_anew_changes_nothing(tmp_path):
    """Calls and streams go on while it is away and when it is back; what is the same by its hash is
    not sent again."""
    a, b = member(tmp_path, "a", "1", "2"), member(tmp_path, "b", "2")
    told = state(a, b, v1=50, v2=50)
    with serving(tmp_path, "a", "b"), running_control(tmp_path) as first:
        first.publish(told)
        with running_envoy(tmp_path, discovered(tmp_path)) as envoy:
            eventually(lambda: first.follows(snapshot(told)))
            caller = Caller(envoy)
            eventually(lambda: caller.who("m@1") == ("a", "1"))
            stream = caller.stream("m@2", 100, 0.05)
            next(stream)
            names = [
                "cluster_manager.cluster_modified",
                "cluster_manager.cluster_added",
                "cluster.serving.membership_change",
                "http.mesh.rds.mesh.config_reload",
            ]
            before = [figure(envoy, name) for name in names]
            first.stop()
            assert {caller.who("m")[1] for _ in range(50)} == {"1", "2"}
            second = RunningControl(tmp_path)
            try:
                second.publish(told)
                eventually(lambda: second.follows(snapshot(told)))
                assert [figure(envoy, name) for name in names] == before
                second.tell(state(a, b, v1=0, v2=100))
                assert {caller.who("m")[1] for _ in range(20)} == {"2"}
                assert [one.delta.position for one in stream] == list(range(1, 100))
            finally:
                second.stop()


def test_a_change_while_the_control_plane_was_away_breaks_no_call(tmp_path):
    """It knows what proxies had before, and takes nothing away before the routes have left it."""
    a, b = member(tmp_path, "a", "1"), member(tmp_path, "b", "2")
    before, after = state(a, b, v1=100), state(b, v2=100)
    with serving(tmp_path, "a", "b"), running_control(tmp_path) as first:
        first.publish(before)
        with running_envoy(tmp_path, discovered(tmp_path)) as envoy:
            eventually(lambda: Caller(envoy).who("m") == ("a", "1"))
            eventually(lambda: first.follows(snapshot(before)))
            first.stop()
            with (
                Load(envoy, "m") as load,
                running_control(tmp_path, before=snapshot(before)) as second,
            ):
                load.since(20)
                second.publish(after)
                eventually(lambda: second.follows(snapshot(after)))
                load.since(60)
            assert set(load.answers) == {("a", "1"), ("b", "2")}


def test_an_envoy_that_is_there_first_waits(tmp_path):
    """Its listeners open when it has been told what is behind them."""
    with serving(tmp_path, "a"):
        with_control = discovered(tmp_path)
        first = state(member(tmp_path, "a", "1"), v1=100)
        opened = threading.Event()

        def begin():
            with running_envoy(tmp_path, with_control) as envoy:
                caller = Caller(envoy)
                answers.append(caller.who("m"))
                opened.set()

        answers = []
        thread = threading.Thread(target=begin)
        thread.start()
        eventually((tmp_path / "admin.sock").exists)
        with running_control(tmp_path) as control:
            eventually(lambda: control.connected())
            assert not opened.is_set()
            control.publish(first)
            assert opened.wait(15)
            thread.join(10)
        assert answers == [("a", "1")]
