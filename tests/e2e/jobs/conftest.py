"""One whole Parley with Airflow for the tests here."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.home import Home
from tests.e2e.registry.product import begun

from .works import Works

FACTS = 24


@pytest.fixture(scope="package")
def works(tmp_path_factory: pytest.TempPathFactory, starter_model: Path) -> Iterator[Works]:
    """A Parley with Airflow for these tests alone, which disturb it."""
    with begun(Works, Home(tmp_path_factory.mktemp("works")), starter_model) as begun_one:
        yield begun_one


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
