"""A real Envoy lives on the mesh's files while the mesh process is away, and follows them."""

import pytest

from services.mesh.disk import Files

from .controls import (
    Caller,
    Load,
    discovered,
    following,
    member,
    running_control,
    serving,
    snapshot,
    state,
)
from .programs import eventually, running_envoy

ROUTES = "mesh/rds.json"


@pytest.fixture
def from_files(tmp_path):
    """The topology of an Envoy that starts from files."""
    return discovered(tmp_path, snapshot_dir=str(tmp_path / "mesh"))


def test_an_envoy_starts_from_what_another_one_took(tmp_path, from_files):
    """With the mesh process dead, and with all that it knew: weights, versions, preferences."""
    a, b = member(tmp_path, "a", "1"), member(tmp_path, "b", "1", "2")
    told = state(a, b, aliases=[("next", "2")], v1=100)
    with serving(tmp_path, "a", "b"):
        with following(tmp_path, told, keep=Files(tmp_path / "mesh").write):
            eventually((tmp_path / ROUTES).exists)
        with running_envoy(tmp_path, from_files) as envoy:
            caller = Caller(envoy)
            eventually(lambda: caller.who("m@1", replica="a") == ("a", "1"))
            eventually(lambda: {caller.who("m")[0] for _ in range(20)} == {"a", "b"})
            assert caller.who("m@next") == ("b", "2")
            assert caller.who("m@1", replica="b") == ("b", "1")


@pytest.mark.alone
def test_an_envoy_of_files_follows_them_and_no_call_fails(tmp_path, from_files):
    """A mesh process that is back writes what is new, for there is no proxy to try it."""
    a1, b2 = member(tmp_path, "a", "1"), member(tmp_path, "b", "2")
    b1, b3 = member(tmp_path, "b", "1"), member(tmp_path, "b", "1", "3")
    files = Files(tmp_path / "mesh")
    files.write(snapshot(state(a1, v1=100)))
    with (
        serving(tmp_path, "a", "b"),
        running_envoy(tmp_path, from_files) as envoy,
        running_control(tmp_path, keep=files.write) as control,
    ):
        eventually(lambda: Caller(envoy).who("m") == ("a", "1"))
        with Load(envoy, "m") as load:
            for told, answers in [
                (state(a1, b2, v1=50, v2=50), {("a", "1"), ("b", "2")}),
                (state(b2, v2=100), {("b", "2")}),
                (state(a1, b3, v1=100), {("a", "1"), ("b", "1")}),
                (state(a1, b1, v1=100), {("a", "1"), ("b", "1")}),
            ]:
                control.publish(told)
                eventually(lambda answers=answers: set(load.since(40)) == answers)
        assert not [one for one in load.answers if not isinstance(one, tuple)]


def test_what_a_proxy_refuses_is_not_kept(tmp_path):
    """Only what was taken whole is what Envoy should start from."""
    kept = []
    first = state(member(tmp_path, "a", "1"), v1=100)
    with following(tmp_path, first, keep=kept.append) as (control, _):
        bad = control.publish(control.refused_routes(first))
        eventually(lambda: control.statuses()["routes"].refused)
        control.tell(state(member(tmp_path, "a", "1", "2"), v1=100))
    versions = [one.version for one in kept]
    assert bad.version not in versions
    assert versions[0] == snapshot(first).version
