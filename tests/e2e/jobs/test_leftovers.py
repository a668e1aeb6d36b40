"""What is left of Airflow when parts of it, or all of Parley, are killed."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress

import psutil

from stack import leftovers, status, up
from stack.jobs import orphans
from stack.readiness import SILENT
from tests.e2e.registry.product import wait_until

from .works import Works

TRIGGERER = "airflow-triggerer"


def titles(works: Works) -> dict[int, str]:
    """What each process of this home says that it is, by its pid."""
    found = {}
    for process in leftovers.find(works.home):
        with suppress(psutil.Error):
            found[process.pid] = " ".join(process.cmdline())
    return found


def workers(works: Works) -> set[int]:
    """The scheduler's workers."""
    return {pid for pid, title in titles(works).items() if title.startswith(orphans.WORKER)}


def words_of(works: Works, name: str) -> str:
    """What `status` says of a program."""
    return next(one.words for one in status.look(works.running.plan) if one.name == name)


def test_every_process_of_airflow_is_known(works: Works):
    """Those with titles too, which once hid the mark that the sweep looks for."""
    wait_until(lambda: bool(workers(works)), "the scheduler has workers")
    assert any(title.startswith("airflow api_server") for title in titles(works).values())


def test_idle_workers_of_a_killed_scheduler_are_ended(works: Works):
    """By the next one, as it starts."""
    wait_until(lambda: bool(workers(works)), "the scheduler has workers")
    left = workers(works)
    pid = works.supervisor.processes()["airflow-scheduler"].pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not left & workers(works), "the orphans are gone")
    wait_until(lambda: bool(workers(works)), "the next one has workers of its own")


def test_a_part_that_hangs_is_seen(works: Works):
    """Its process is there, and does nothing."""
    wait_until(lambda: words_of(works, TRIGGERER) == status.READY, "the triggerer is heard of")
    triggerer = psutil.Process(works.supervisor.processes()[TRIGGERER].pid)
    triggerer.suspend()
    try:
        wait_until(lambda: words_of(works, TRIGGERER) == SILENT, "status tells of its silence")
    finally:
        triggerer.resume()
    wait_until(lambda: words_of(works, TRIGGERER) == status.READY, "it is heard of again")


def test_parley_starts_after_all_of_it_was_killed(works: Works):
    """kill -9 of every process, supervisord and PostgreSQL included, in one go."""
    ports = works.running.plan.ports
    kill_all(lambda: leftovers.find(works.home))
    works.running = up.start(works.home, ports=ports, jobs=True)
    works.until_airflow()


def kill_all(find: Callable[[], list[psutil.Process]]) -> None:
    """Kills what is found until nothing is."""
    while found := find():
        for process in found:
            process.kill()
        psutil.wait_procs(found, timeout=5)
