"""What holds for every test: Ctrl-C reaches what a test starts, however the suite was started, and
which tests may run beside others.

A shell starts what runs in the background with SIGINT ignored, and children inherit that.
"""

import signal
from pathlib import Path

import pytest

signal.signal(signal.SIGINT, signal.default_int_handler)

HERE = Path(__file__).parent
JOBS = "e2e/jobs"
# They load every core, or time what they see: anything beside them would be in their figures.
ALONE = ("e2e", "integration/serving", "integration/mesh/test_how_soon.py")


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A folder's tests share what they start, and so a process. The jobs' come first: they take
    longest, and wait for Airflow most of the time."""
    for item in items:
        path = item.path.relative_to(HERE)
        group = path.parent.as_posix()
        item.add_marker(pytest.mark.xdist_group(group))
        if group != JOBS and any(path.is_relative_to(place) for place in ALONE):
            item.add_marker(pytest.mark.alone)
    items.sort(key=lambda item: not item.path.is_relative_to(HERE / JOBS))
