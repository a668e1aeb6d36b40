"""Who interrupts whom on a core."""

import subprocess
import sys

import pytest

PROGRAM = """
import os, subprocess, sys, threading
from services.rpc.scheduling import give_way, take_turns

def tell():
    print(os.sched_getscheduler(0) == os.SCHED_BATCH)

give_way()
tell()
thread = threading.Thread(target=tell)
thread.start()
thread.join()
sys.stdout.flush()
child = "import os; print(os.sched_getscheduler(0) == os.SCHED_BATCH)"
subprocess.run([sys.executable, "-c", child], check=True)
take_turns()
tell()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such policy")
def test_what_gives_way_starts_threads_and_programs_that_do_until_they_take_it_back():
    """A program's policy goes to all that it starts, and is undone by whoever undoes it."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == ["True", "True", "True", "False"]


PROGRAM_REFUSED = """
import os
from services.rpc.scheduling import give_way

def refuse(*_):
    raise PermissionError

os.sched_setscheduler = refuse
give_way()
del os.SCHED_BATCH
give_way()
"""


def test_a_system_that_forbids_it_is_no_obstacle():
    """Neither a container that refuses the call nor a system without the policy ends a program."""
    subprocess.run([sys.executable, "-c", PROGRAM_REFUSED], check=True)
