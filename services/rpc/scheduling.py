"""Whose turn it is on a core that an engine shares with what passes its tokens on.

Linux has a program that wakes interrupt the one that runs. Between an engine and a reader three
programs wake for every few tokens, and interrupted the engine each time, for one message. Under
SCHED_BATCH they wait until the engine's turn is over, some milliseconds at most, and find several
messages: 19 % less of their processor time a token at 16 and 32 streams on two cores, and the first
token no later (50 rounds of each, in turn). On a core with nothing else to do nothing changes.

See sched(7). Knows no engine.
"""

import os
from contextlib import suppress


def give_way() -> None:
    """Has this thread interrupt nobody as it wakes, and all threads and programs that it starts.

    Does nothing where the system has no such policy or forbids it: that costs speed alone. Safe to
    repeat.
    """
    _schedule("SCHED_BATCH")


def take_turns() -> None:
    """Gives this thread back what `give_way` of the program that started it took away."""
    _schedule("SCHED_OTHER")


def _schedule(policy: str) -> None:
    if hasattr(os, policy):
        with suppress(OSError):
            os.sched_setscheduler(0, getattr(os, policy), os.sched_param(0))
