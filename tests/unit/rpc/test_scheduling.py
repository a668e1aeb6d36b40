"""Who interrupts whom on a core."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such policy")

PROGRAM = """
import os, subprocess, sys, threading
from services.rpc.scheduling import give_way, take_turns

def tell():
    print(os.sched_getscheduler(0) == os.SCHED_BATCH)

asked = threading.Event()
earlier = threading.Thread(target=lambda: (asked.wait(), tell()))
earlier.start()
give_way()
tell()
asked.set()
earlier.join()
thread = threading.Thread(target=tell)
thread.start()
thread.join()
sys.stdout.flush()
child = "import os; print(os.sched_getscheduler(0) == os.SCHED_BATCH)"
subprocess.run([sys.executable, "-c", child], check=True)
take_turns()
tell()
"""


def test_a_program_gives_way_with_its_threads_and_programs_until_it_takes_it_back():
    """What a program has started and will start shares its policy, until one of them undoes it."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == ["True", "True", "True", "True", "False"]


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
