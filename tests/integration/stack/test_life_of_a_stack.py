"""Starting and stopping under a real supervisord, with stand-in programs."""

import os
import signal
import subprocess
import sys
import threading

import psutil
import pytest

from stack import leftovers, record, status, up
from stack.environment.places import ROOT
from stack.errors import StackError
from stack.supervisor import MARK, Supervisor
from tests.integration.stack.stacks import events, plan_of, wait_until

IN_ORDER = [
    *("serving-0 starts", "serving-0 answers"),
    *("gateway starts", "gateway answers"),
    *("envoy starts", "envoy answers"),
]
IN_REVERSE = ["envoy stops", "gateway stops", "serving-0 stops"]


def start(home, **manners):
    """Starts a stack of stand-ins."""
    return up.start_with(home, lambda: plan_of(home, **manners))


def pids(home):
    """Process ids of the programs, by name."""
    return {name: process.pid for name, process in Supervisor(home).processes().items()}


def test_programs_start_in_order_and_stop_in_reverse(home, nothing_left):
    """Each wave answers before the next one starts; each stops before what it needs."""
    assert start(home).started_now
    assert events(home) == IN_ORDER
    assert up.stop(home)
    assert events(home) == IN_ORDER + IN_REVERSE
    nothing_left()


def test_a_second_start_changes_nothing(home):
    """The same processes run on, and the caller is told that they ran before."""
    start(home)
    before = pids(home)
    assert not start(home).started_now
    assert pids(home) == before


def test_a_second_stop_changes_nothing(home, nothing_left):
    """Stopping is safe to repeat."""
    start(home)
    assert up.stop(home)
    assert not up.stop(home)
    nothing_left()


def test_a_program_that_ends_while_starting_is_named_with_its_words(home, nothing_left):
    """The failure says which service, why, and leaves nothing running."""
    with pytest.raises(StackError) as failure:
        start(home, gateway="dies")
    assert failure.value.what == "gateway ended while starting."
    assert failure.value.evidence == ("the model folder is missing",)
    assert str(home.log("gateway")) in failure.value.mend
    assert events(home)[-1] == "serving-0 stops"
    nothing_left()


@pytest.mark.alone
def test_a_killed_program_is_back_within_five_seconds(home):
    """kill -9 of a service is mended without anyone's help."""
    running = start(home)
    old = pids(home)["gateway"]
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: pids(home)["gateway"] not in (0, old), "a new process", 5)
    wait_until(lambda: all(s.healthy for s in status.look(running.plan)), "all answer", 5)
    assert [s.restarts for s in status.look(running.plan)] == [0, 1, 0]


@pytest.mark.alone
def test_a_deaf_program_is_killed_within_its_bound(home, nothing_left):
    """A program that takes no SIGTERM cannot hold up the stop."""
    start(home, gateway="deaf")
    took_s = wait_until(lambda: up.stop(home), "a stop", 15)
    assert took_s < 10
    nothing_left()


def test_what_a_dead_supervisord_left_is_cleared_by_the_next_start(home):
    """After a crash of supervisord its orphans end, and a whole new stack starts."""
    start(home)
    orphans = list(pids(home).values())
    supervisord = next(p for p in leftovers.find(home) if p.pid not in orphans)
    supervisord.kill()
    supervisord.wait(10)
    assert up.find(home) is None
    assert start(home).started_now
    assert not {process.pid for process in leftovers.find(home)} & set(orphans)


def test_what_a_dead_supervisord_left_is_cleared_by_a_stop(home, nothing_left):
    """`down` after a crash leaves nothing, too."""
    start(home)
    orphans = list(pids(home).values())
    supervisord = next(p for p in leftovers.find(home) if p.pid not in orphans)
    supervisord.kill()
    supervisord.wait(10)
    assert up.stop(home)
    nothing_left()


def test_a_record_of_before_a_reboot_is_not_believed(home):
    """stack.json of a stack that is gone, whoever has its process ids now, is no running stack."""
    home.prepare()
    record.write(plan_of(home), record.RUNNING)
    assert up.find(home) is None
    assert start(home).started_now


def test_half_a_record_is_mended(home):
    """A stack whose record was lost is stopped and started anew."""
    start(home)
    before = pids(home)
    home.record.write_text('{"format": 1, "pl')
    assert start(home).started_now
    assert not set(before.values()) & set(pids(home).values())


def test_a_half_start_is_stopped_and_started_anew(home):
    """A start that was killed before its end does not count as running."""
    start(home)
    record.write(plan_of(home), record.STARTING)
    assert start(home).started_now


def test_two_starts_at_once_make_one_stack(home):
    """The second waits for the first and finds it running."""
    found = []
    threads = [threading.Thread(target=lambda: found.append(start(home))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(running.started_now for running in found) == [False, True]
    assert events(home) == IN_ORDER


def test_ctrl_c_during_a_start_stops_what_was_started(home, nothing_left):
    """An interrupted start leaves nothing, not even what was ready already."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.stack.stacks", home.path, "never_ready"],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: home.path.joinpath("events").exists(), "the start")
    wait_until(lambda: events(home) == IN_ORDER, "envoy's start")
    process.send_signal(signal.SIGINT)
    process.wait(20)
    assert events(home) == IN_ORDER + IN_REVERSE
    nothing_left()


def test_programs_get_a_minimal_environment(home, monkeypatch):
    """What the user's shell holds, secrets too, does not reach the services."""
    monkeypatch.setenv("A_SECRET_OF_THE_SHELL", "hunter2")
    start(home)
    environment = psutil.Process(pids(home)["gateway"]).environ()
    assert "A_SECRET_OF_THE_SHELL" not in environment
    assert environment[MARK] == str(home.path)


def test_what_is_written_is_for_its_owner_alone(home):
    """Sockets, records and logs are closed to other users."""
    start(home)
    files = [*home.run.iterdir(), *home.logs.iterdir()]
    assert files
    assert not [path.name for path in files if path.stat().st_mode & 0o077]
