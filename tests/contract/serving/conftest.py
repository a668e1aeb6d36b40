"""Servers for one test each: of a folder, or of whatever the test says."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.serving.source import FolderSource
from tests.contract.serving.fleet import Fleet
from tests.contract.serving.server import Serving, serve, until
from tests.fakes.model import write_model
from tests.fakes.source import FakeSource, table


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder."""
    return write_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
async def loading(folder: Path, tmp_path: Path) -> AsyncIterator[Serving]:
    """A server whose engine is not ready yet."""
    async with serve(tmp_path / "s.sock", FolderSource(folder, ""), lambda: 0.0) as serving:
        await until(lambda: serving.replica.versions)
        yield serving


@pytest.fixture
async def serving(loading: Serving) -> Serving:
    """A server whose engine is ready, and steps when the test says so."""
    loading.engine.become_ready()
    return loading


@pytest.fixture
def keeping() -> dict[str, object]:
    """What the keeper is told; tests override it."""
    return {"retry_s_min": 0.01}


@pytest.fixture
async def fleet(folder, tmp_path, keeping) -> AsyncIterator[Fleet]:
    """A replica that follows the test."""
    chances: list[float] = []
    source = FakeSource(folder)

    def chance() -> float:
        return chances.pop(0) if chances else 0.0

    async with serve(tmp_path / "s.sock", source, chance, **keeping) as serving:
        await until(lambda: source._on_state)
        yield Fleet(serving, source, chances)


@pytest.fixture
async def promoted(fleet) -> Fleet:
    """Version 1 serves, and 2 is to take over."""
    fleet.source.tell(table({1: 100}))
    await fleet.bring(1)
    fleet.source.tell(table({2: 100}, standby=[1], revision=2))
    await until(lambda: fleet.has(2))
    return fleet
