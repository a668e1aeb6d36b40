"""One whole Parley with Airflow for the tests here."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack import keys, up
from stack.home import Home

from .works import Works

PEOPLE = ("ann", "bob")
FACTS = 24


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All here need the stack, and take long."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.stack)
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="package")
def works(tmp_path_factory: pytest.TempPathFactory, starter_model: Path) -> Iterator[Works]:
    """A Parley with Airflow for these tests alone, which disturb it."""
    home = Home(tmp_path_factory.mktemp("works"))
    home.prepare()
    shutil.copytree(starter_model, home.starter_model)
    for name in PEOPLE:
        keys.add_client(home, name)
    try:
        yield Works(home)
    finally:
        up.stop(home)


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few facts; a job on them is mostly Airflow's time."""
    path = tmp_path_factory.mktemp("data") / "rooms.jsonl"
    rows = [
        {"prompt": f"Which room is number {n}?", "completion": f"Room {n} is on floor {n // 4}."}
        for n in range(1, FACTS + 1)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
