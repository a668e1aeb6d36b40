"""Whose turn it is on a core that an engine shares with what passes its tokens on.

Linux has a program that wakes interrupt the one that runs. Between an engine and a reader three
programs wake for every few tokens, and interrupted the engine each time, for one message. Under
SCHED_BATCH they wait until the engine's turn is over, some milliseconds at most, and find several
messages: 19 % less of their processor time a token at 16 and 32 streams on two cores, and the first
token no later (24 rounds of each, in turn). On a core with nothing else to do nothing changes.

See sched(7). Knows no engine.
"""

import os
from contextlib import suppress
from pathlib import Path

THREADS = Path("/proc/self/task")


def give_way() -> None:
    """Has this program interrupt nobody as it wakes, nor anything that it starts from now on.

    Does nothing where the system has no such policy or forbids it: that costs speed alone. Safe to
    repeat.
    """
    _schedule("SCHED_BATCH")


def take_turns() -> None:
    """Gives this program back what `give_way` of the one that started it took away."""
    _schedule("SCHED_OTHER")


def _schedule(policy: str) -> None:
    if not hasattr(os, policy):
        return
    # Threads keep their own: libraries start some while they are imported, before anybody is asked.
    for thread in THREADS.glob("*"):
        # One may end meanwhile, and a container may forbid it.
        with suppress(OSError):
            os.sched_setscheduler(int(thread.name), getattr(os, policy), os.sched_param(0))
