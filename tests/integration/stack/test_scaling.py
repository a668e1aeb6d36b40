"""Replicas that come and go under a real supervisord, with stand-in programs."""

import signal
import subprocess
import sys
from contextlib import contextmanager

import psutil
import pytest

from stack import record, status, up
from stack.environment.places import ROOT
from stack.errors import StackError
from stack.progress import Silent
from stack.scaling import scale
from stack.supervisor import Supervisor
from tests.integration.stack.stacks import events, one_more, plan_of, tell, wait_until

THREE = ["serving-0", "serving-1", "serving-2"]
SCRIPT = """
import sys
from pathlib import Path
from stack.home import Home
from stack.scaling import scale
from tests.integration.stack.stacks import one_more

scale(Home(Path(sys.argv[1])), int(sys.argv[2]), make=one_more(*sys.argv[3:]))
"""


@pytest.fixture
def running(home):
    """A stack of three stand-ins, one of them a replica."""
    up.start_with(home, lambda: plan_of(home))
    return home


def pids(home):
    """Process ids of the programs that supervisord knows, by name."""
    return {name: process.pid for name, process in Supervisor(home).processes().items()}


def recorded(home):
    """Names of the replicas that the record holds."""
    return record.read(home).plan.replicas()


@contextmanager
def another(home, *arguments):
    """A call in another process, which is killed in its midst."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(home.path), *arguments],
        cwd=ROOT,
    )
    yield process
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=10) == -signal.SIGKILL


def test_replicas_come_and_go_and_nothing_else_is_restarted(running):
    """Up by two and down again: the record says so each time, and all that it names answers."""
    before = pids(running)
    grown = scale(running, 3, make=one_more())
    assert grown.added == ("serving-1", "serving-2")
    assert recorded(running) == list(pids(running))[-3:] == THREE
    assert all(service.healthy for service in status.look(grown.plan))
    assert len(set(grown.plan.ports.serving_metrics)) == 3
    shrunk = scale(running, 1)
    assert shrunk.removed == ("serving-1", "serving-2")
    assert recorded(running) == ["serving-0"]
    assert shrunk.plan == plan_of(running)
    assert pids(running) == before
    assert events(running).count("serving-2 stops") == 1


def test_new_replicas_share_the_memory_that_is_for_engines(running):
    """Each is told an equal share of all replicas', or of what is free where that is less."""
    told = []

    def make(plan, index, memory_gib):
        told.append(memory_gib)
        return one_more()(plan, index, memory_gib)

    memory = psutil.virtual_memory()
    scale(running, 3, make=make)
    assert len(told) == 2
    assert 0 < min(told) == max(told) <= memory.total * up.ENGINES_SHARE / 3 / 2**30


def test_the_stack_stops_whole_after_it_was_scaled(running, nothing_left):
    """Also what came later is stopped, and before the first replica's callers it is not."""
    scale(running, 3, make=one_more())
    assert up.stop(running)
    assert sorted(events(running)[-3:]) == [f"{name} stops" for name in THREE]
    nothing_left()


@pytest.mark.parametrize("manner", ["dies", "never_ready"])
def test_what_cannot_start_is_taken_back(running, manner):
    """The failure names the program; the stack is as it was."""
    before = pids(running)
    with pytest.raises(StackError, match=r"serving-1 (ended while starting|was not ready)"):
        scale(running, 3, make=one_more(manner, ready_within_s=1))
    assert pids(running) == before
    assert recorded(running) == ["serving-0"]


def test_an_interrupt_on_the_way_up_takes_back_what_is_new(running):
    """As with `up`: what was begun is undone."""

    class Interrupting(Silent):
        def doing(self, name, words):
            raise KeyboardInterrupt

    before = pids(running)
    with pytest.raises(KeyboardInterrupt):
        scale(running, 2, Interrupting(), make=one_more("never_ready"))
    assert pids(running) == before
    assert recorded(running) == ["serving-0"]


def test_a_call_that_was_killed_on_the_way_up_can_be_repeated(running):
    """The same call waits for what the first one started; a smaller count takes it away."""
    before = pids(running)
    with another(running, "3", "when_told"):
        wait_until(lambda: pids(running).get("serving-2"), "the last one's start")
    assert recorded(running) == THREE
    assert scale(running, 2).removed == ("serving-2",)
    with another(running, "3", "when_told"):
        wait_until(lambda: pids(running).get("serving-2"), "the last one's start")
    tell(running)
    grown = scale(running, 3)
    assert grown.added == ()
    assert all(service.healthy for service in status.look(grown.plan))
    scale(running, 1)
    assert pids(running) == before


def test_a_call_that_was_killed_on_the_way_down_can_be_repeated(running):
    """In either direction: what was stopping is waited for, and starts again where wanted."""
    scale(running, 3, make=one_more("deaf", stop_within_s=6))
    with another(running, "1"):
        wait_until(
            lambda: Supervisor(running).processes()["serving-2"].state == "STOPPING", "its end"
        )
    grown = scale(running, 3)
    assert grown.added == ()
    assert all(service.healthy for service in status.look(grown.plan))
    with another(running, "1"):
        wait_until(
            lambda: Supervisor(running).processes()["serving-2"].state == "STOPPING", "its end"
        )
    scale(running, 1)
    assert recorded(running) == ["serving-0"]
    assert set(pids(running)) == {"serving-0", "gateway", "envoy"}


def test_what_supervisord_has_and_the_record_has_not_is_cleared_away(running):
    """As after a kill between the two."""
    planned = record.read(running).plan
    scale(running, 2, make=one_more())
    stray = psutil.Process(pids(running)["serving-1"])
    record.write(planned, record.RUNNING)
    assert scale(running, 1).removed == ()
    assert set(pids(running)) == {"serving-0", "gateway", "envoy"}
    wait_until(lambda: not stray.is_running(), "the stray's end")
