"""Which workers of a dead scheduler are ended; real processes that only have their names."""

import subprocess
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from stack import leftovers
from stack.home import Home
from stack.jobs import orphans
from stack.supervisor import MARK

IDLE = "airflow worker -- LocalExecutor: <idle>"
BUSY = "airflow worker -- LocalExecutor: finetune train"
WAIT_S = 20
AT_WORK = "sleep 600 & wait"

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(home: Home) -> Iterator[Start]:
    """Starts a process of a title that was started for a home; `work` is a shell's."""
    started = []

    def begin(title: str, work: str = "read line", of: Home = home) -> subprocess.Popen[bytes]:
        environment = {MARK: str(of.path), "PATH": "/usr/bin:/bin"}
        command = [title, "-c", work]
        started.append(
            subprocess.Popen(
                command, executable="/bin/bash", env=environment, stdin=subprocess.PIPE
            )
        )
        wait_until(lambda: psutil.Process(started[-1].pid).cmdline()[:1] == [title])
        return started[-1]

    yield begin
    for one in started:
        if one.poll() is None:
            for child in psutil.Process(one.pid).children(recursive=True):
                child.kill()
        one.kill()
        one.communicate()


def wait_until(holds: Callable[[], bool]) -> None:
    """Waits until a condition holds; fails past the bound."""
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def children(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The processes that it started."""
    return psutil.Process(process.pid).children()


def test_an_idle_worker_without_a_scheduler_is_ended(home: Home, start: Start):
    """It would wait for ever for a task."""
    worker = start(IDLE)
    assert orphans.end_idle(home) == 1
    assert worker.wait(WAIT_S) < 0
    assert orphans.end_idle(home) == 0


def test_an_orphan_is_ended_whatever_took_it_in(home: Home, start: Start):
    """The machine's first process does, and may be closed to us."""
    scheduler = start("scheduler", f"bash -c 'exec -a \"{IDLE}\" sleep 600' & read line")
    wait_until(lambda: any(child.cmdline()[:1] == [IDLE] for child in children(scheduler)))
    (worker,) = children(scheduler)
    scheduler.kill()
    scheduler.wait(WAIT_S)
    assert orphans.end_idle(home) == 1
    wait_until(lambda: worker not in leftovers.find(home))


@pytest.mark.parametrize(("title", "work"), [(BUSY, "read line"), (IDLE, AT_WORK)])
def test_a_worker_with_a_task_goes_on(home: Home, start: Start, title: str, work: str):
    """Whether its title says so already, or only its child does; and it is not left held still."""
    worker = start(title, work)
    wait_until(lambda: work != AT_WORK or bool(children(worker)))
    assert orphans.end_idle(home) == 0
    assert psutil.Process(worker.pid).status() != psutil.STATUS_STOPPED
    assert worker.poll() is None


def test_a_worker_of_another_home_is_left_alone(home: Home, start: Start):
    """Two Parleys on one machine."""
    other = start(IDLE, of=Home(home.path / "another"))
    assert orphans.end_idle(home) == 0
    assert other.poll() is None


def test_a_worker_whose_scheduler_lives_is_left_alone(home: Home, start: Start):
    """It gets its next task from there."""
    scheduler = start("scheduler", f"bash -c 'exec -a \"{IDLE}\" sleep 600' & wait")
    wait_until(lambda: any(child.cmdline()[:1] == [IDLE] for child in children(scheduler)))
    (worker,) = children(scheduler)
    assert orphans.end_idle(home) == 0
    assert worker in leftovers.find(home)
