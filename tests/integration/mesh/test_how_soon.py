"""How soon a real Envoy has taken a change of the mesh, and calls go by it."""

import statistics
import time

import pytest

from .controls import Caller, following, member, serving, snapshot, state
from .programs import eventually

# The times are of the machine as much as of the mesh: they are told (`pytest -rP`), not judged.
pytestmark = pytest.mark.slow
TIMES = 5


@pytest.fixture(scope="module")
def mesh(tmp_path_factory):
    """Two replicas of version 1 behind an Envoy that follows a control plane."""
    folder = tmp_path_factory.mktemp("soon")
    first = state(member(folder, "a", "1"), member(folder, "b", "1"), v1=100)
    with serving(folder, "a", "b"), following(folder, first) as (control, envoy):
        eventually(lambda: Caller(envoy).who("m@1")[1] == "1")
        yield folder, control, envoy


def taken_s(control, told, urgent):
    """From the event, which is the state, to the proxy's word that it has taken all of it."""
    began = time.perf_counter()
    found = control.publish(told, urgent)
    eventually(lambda: control.follows(found))
    return time.perf_counter() - began


@pytest.mark.parametrize("change", ["weights", "leave", "join", "new version"])
def test_a_change_is_taken(mesh, change, record_property):
    """From the event to the proxy's acknowledgement of all that it was told."""
    folder, control, _ = mesh
    a, both, b = member(folder, "a", "1"), member(folder, "a", "1", "2"), member(folder, "b", "1")
    gone = member(folder, "b", serving=False)
    before, after = {
        "weights": (state(both, b, v1=90, v2=10), state(both, b, v1=50, v2=50)),
        "leave": (state(a, b, v1=100), state(a, gone, v1=100)),
        "join": (state(a, gone, v1=100), state(a, b, v1=100)),
        "new version": (state(a, b, v1=100), state(both, b, v1=90, v2=10)),
    }[change]
    took = []
    for _ in range(TIMES):
        control.tell(before)
        took.append(taken_s(control, after, urgent=change == "leave"))
    told = ", ".join(f"{1000 * one:.0f}" for one in sorted(took))
    print(f"{change}: p50 {1000 * statistics.median(took):.0f} ms of {told}")
    record_property("taken_ms_p50", round(1000 * statistics.median(took)))


def test_no_call_fails_before_a_new_version_answers(mesh, record_property):
    """From the event to the first call that it answers, and no call fails before."""
    folder, control, envoy = mesh
    a, both, b = member(folder, "a", "1"), member(folder, "a", "1", "2"), member(folder, "b", "1")
    caller, took = Caller(envoy), []
    for _ in range(TIMES):
        control.tell(state(a, b, v1=100))
        eventually(lambda: caller.who("m")[1] == "1")
        began, answers = time.perf_counter(), [("", "")]
        control.publish(state(both, b, v2=100))
        while answers[-1][1] != "2":
            answers.append(caller.who("m"))
            assert isinstance(answers[-1], tuple)
        took.append(time.perf_counter() - began)
    print(f"first call: p50 {1000 * statistics.median(took):.0f} ms, max {1000 * max(took):.0f}")
    record_property("first_call_ms_p50", round(1000 * statistics.median(took)))
    eventually(lambda: control.follows(snapshot(state(both, b, v2=100))))
