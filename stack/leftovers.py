"""Finds and ends processes of a home that nothing supervises any more.

They are known by the mark in their environment, so a pid that was given to another program is never
mistaken for one of ours.
"""

import os
import time
from contextlib import suppress

import psutil

from stack.home import Home
from stack.supervisor import MARK

TERM_WAIT_S = 5.0
KILL_WAIT_S = 5.0
POLL_S = 0.02


def find(home: Home) -> list[psutil.Process]:
    """Every process of this user that was started for `home`, supervisord included."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.uids().real == os.getuid() and mark_of(process) == str(home.path):
                found.append(process)
        except psutil.Error:
            continue
    return found


def end(home: Home, *, at_once: bool = False) -> int:
    """Ends what `find` finds, politely first unless `at_once`; gives how many there were."""
    processes = find(home)
    if not at_once:
        _signal(processes, "terminate")
        _await_end(processes, TERM_WAIT_S)
    # Asked again: supervisord may have started a program in the meantime.
    deadline = time.monotonic() + KILL_WAIT_S
    while (rest := find(home)) and time.monotonic() < deadline:
        _signal(rest, "kill")
        _await_end(rest, KILL_WAIT_S)
    return len(processes)


def _signal(processes: list[psutil.Process], how: str) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            getattr(process, how)()


def _await_end(processes: list[psutil.Process], within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while any(_runs(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(POLL_S)


def _runs(process: psutil.Process) -> bool:
    """Whether it still does anything: where nobody collects the dead, they stay as zombies."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def mark_of(process: psutil.Process) -> str:
    """The folder of the home that a process was started for; empty for none. Raises psutil.Error
    where it may not be known."""
    return process.environ().get(MARK, "")
