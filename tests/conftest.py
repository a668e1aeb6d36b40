"""What holds for every test: Ctrl-C reaches what a test starts, however the suite was started,
which tests may run beside others, and that those leave each other the cores.

A shell starts what runs in the background with SIGINT ignored, and children inherit that.
"""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

signal.signal(signal.SIGINT, signal.default_int_handler)
if "PYTEST_XDIST_WORKER" in os.environ:
    # OpenMP's threads spin while they wait for each other. Three trainings of 150 steps, side by
    # side on two cores, took 79 s so, and 14 s without; one alone takes a quarter longer without.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# A loaded machine may hold any example up; what must be quick says so by itself.
settings.register_profile("patient", deadline=None, database=None)
settings.load_profile("patient")

HERE = Path(__file__).parent
JOBS = "e2e/jobs"
# They load every core, or time what they see: anything beside them would be in their figures.
# Single tests with a bound on time are marked where they are.
ALONE = ("e2e", "integration/serving", "integration/mesh/test_how_soon.py")


class ByFolder(LoadScopeScheduling):
    """Deals out whole folders: the tests of one share what they start, and so a process."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0].rpartition("/")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFolder:
    """How the tests are dealt out where several run at a time."""
    return ByFolder(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The jobs' tests come first: they take longest, and wait for Airflow most of the time."""
    for item in items:
        path = item.path.relative_to(HERE)
        if not path.is_relative_to(JOBS) and any(path.is_relative_to(one) for one in ALONE):
            item.add_marker(pytest.mark.alone)
    items.sort(key=lambda item: not item.path.is_relative_to(HERE / JOBS))
