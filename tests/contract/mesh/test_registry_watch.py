"""The mesh's side of the registry's contract: traffic, and what is said while it is away."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.mesh.registry_watch import AWAY, RegistryWatch
from services.mesh.state import Aliased, ModelTraffic, Share
from tests.contract.mesh.worlds import WAIT_S
from tests.fakes.files import FileServer, file_server
from tests.fakes.model import write_model
from tests.fakes.registry import FakeRegistry, running_registry


@pytest.fixture
def store() -> Iterator[FileServer]:
    """An object store, which nobody asks."""
    with file_server() as running:
        yield running


@pytest.fixture
def registry(store, tmp_path) -> FakeRegistry:
    """A registry that knows two versions."""
    folder: Path = write_model(tmp_path / "model")
    known = FakeRegistry(store)
    known.add("tiny", 1, folder)
    known.add("tiny", 2, folder)
    return known


class Following:
    """A watch with what it told."""

    def __init__(self, watch: RegistryWatch) -> None:
        self.watch = watch
        self._told: asyncio.Queue[tuple[int, tuple[ModelTraffic, ...]]] = asyncio.Queue()
        told = self._told.put_nowait
        self.task = asyncio.create_task(watch.follow(lambda *what: told(what)))

    async def next(self) -> tuple[int, tuple[ModelTraffic, ...]]:
        """The next revision, and its traffic."""
        return await asyncio.wait_for(self._told.get(), WAIT_S)

    async def until_detail(self, wanted: str) -> None:
        """Waits until it says that of itself."""
        async with asyncio.timeout(WAIT_S):
            while self.watch.detail != wanted:  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.01)


@pytest.fixture
def address(tmp_path) -> str:
    """Where the registry is, when it is."""
    return f"unix:{tmp_path / 'r.sock'}"


@pytest.fixture
async def following(address) -> AsyncIterator[Following]:
    """A watch."""
    made = Following(RegistryWatch(address))
    yield made
    made.task.cancel()
    await asyncio.wait({made.task})
    await made.watch.close()


async def test_traffic_comes_with_its_aliases_and_versions(following, registry, address):
    """And each change of it at once."""
    async with running_registry(registry, address):
        await registry.serve("tiny", {1: 100}, standby=[2])
        first = ModelTraffic("tiny", (Share("1", 100),), (Aliased("champion", "1"),), ("1", "2"))
        assert await following.next() == (1, (first,))
        await registry.serve("tiny", {1: 90, 2: 10})
        revision, (second,) = await following.next()
        assert (revision, second.shares) == (2, (Share("1", 90), Share("2", 10)))


async def test_a_registry_that_is_away_is_spoken_of_until_it_is_back(following, registry, address):
    """Also where it has nothing new to say then."""
    await following.until_detail(AWAY)
    async with running_registry(registry, address):
        await registry.serve("tiny", {1: 100})
        await following.next()
        await following.until_detail("")
    await following.until_detail(AWAY)
    async with running_registry(registry, address):
        assert (await following.next())[0] == 1
        await following.until_detail("")
