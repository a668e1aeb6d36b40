"""Finds and ends processes of a home that nothing supervises any more.

They are known by the mark in their environment, so a pid that was given to another program is never
mistaken for one of ours.
"""

import os

import psutil

from stack.home import Home
from stack.supervisor import MARK

TERM_WAIT_S = 5.0
KILL_WAIT_S = 5.0


def find(home: Home) -> list[psutil.Process]:
    """Every process of this user that was started for `home`, supervisord included."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.uids().real == os.getuid() and _mark(process) == str(home.path):
                found.append(process)
        except psutil.Error:
            continue
    return found


def end(home: Home, *, at_once: bool = False) -> int:
    """Ends what `find` finds, politely first unless `at_once`; gives how many there were."""
    processes = find(home)
    if not at_once:
        _signal(processes, "terminate")
        psutil.wait_procs(processes, timeout=TERM_WAIT_S)
    # Asked again: supervisord may have started a program in the meantime.
    while rest := [process for process in find(home) if process.status() != "zombie"]:
        _signal(rest, "kill")
        _, alive = psutil.wait_procs(rest, timeout=KILL_WAIT_S)
        if alive:
            break
    return len(processes)


def _signal(processes: list[psutil.Process], how: str) -> None:
    for process in processes:
        try:
            getattr(process, how)()
        except psutil.NoSuchProcess:
            continue


def _mark(process: psutil.Process) -> str:
    return process.environ().get(MARK, "")
