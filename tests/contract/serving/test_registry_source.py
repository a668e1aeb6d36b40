"""A replica's side of the registry's contract: states, files, and what goes wrong with them."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from services.serving.cache import FileCache
from services.serving.registry_source import RegistrySource
from services.serving.source import SourceError
from services.serving.wanted import State, Version
from tests.contract.serving.server import WAIT_S
from tests.fakes.files import FileServer, file_server
from tests.fakes.model import write_model
from tests.fakes.registry import DATASET, RUN, FakeRegistry, running_registry

ROOM = 10_000_000
BIG = "openvino/openvino_model.bin"
BIG_FILE = f"tiny/1/{BIG}"


@pytest.fixture
def store() -> Iterator[FileServer]:
    """An object store."""
    with file_server() as running:
        yield running


@pytest.fixture
def model(tmp_path) -> Path:
    """A model folder with one large file, and weights that only training needs."""
    folder = write_model(tmp_path / "model")
    (folder / BIG).write_bytes(bytes(range(256)) * 4096)
    (folder / "model.safetensors").write_bytes(b"heavy")
    return folder


@pytest.fixture
def registry(store, model) -> FakeRegistry:
    """A registry that knows two versions."""
    known = FakeRegistry(store)
    known.add("tiny", 1, model)
    known.add("tiny", 2, model)
    return known


class Following:
    """A source with the states that it told."""

    def __init__(self, source: RegistrySource) -> None:
        self.source = source
        self.states: asyncio.Queue[State] = asyncio.Queue()
        self._task = asyncio.create_task(source.follow(self.states.put_nowait))

    async def state(self) -> State:
        """The next state."""
        return await asyncio.wait_for(self.states.get(), WAIT_S)

    async def version(self) -> Version:
        """The first version of the next state."""
        return (await self.state()).tables[0].versions[0]

    async def close(self) -> None:
        """Ends, as the replica does."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.source.close()
        self.source._cache._lock.close()


@pytest.fixture
async def follow(tmp_path) -> AsyncIterator:
    """Follows the registry's address from a cache that is there again after a restart."""
    async with AsyncExitStack() as stack:

        def begin(room=ROOM) -> Following:
            cache = FileCache(tmp_path / "cache", room)
            following = Following(RegistrySource(f"unix:{tmp_path}/r.sock", cache, WAIT_S))
            stack.push_async_callback(following.close)
            return following

        yield begin


@pytest.fixture
async def running(registry, tmp_path) -> AsyncIterator[FakeRegistry]:
    """The registry, running and serving version 1."""
    await registry.serve("tiny", {1: 100})
    async with running_registry(registry, f"unix:{tmp_path}/r.sock"):
        yield registry


async def test_states_are_followed_with_all_that_is_known(running, follow):
    """Numbers, digests, aliases, run, dataset, weights, mirror and revision."""
    following = follow()
    first = await following.state()
    await running.serve("tiny", {1: 90, 2: 10}, mirror=2)
    second = await following.state()
    (table,) = second.tables
    one, two = table.versions
    assert (first.revision, second.revision, table.revision) == (1, 2, 2)
    assert one.key == ("tiny", "1", running.folders["tiny", 1].digest)
    assert one.engine_digest == running.folders["tiny", 1].engine_digest
    assert (one.aliases, one.run_id, one.dataset_digest) == (("champion",), RUN, DATASET)
    assert two.aliases == ()
    assert [(route.version, route.weight) for route in table.routes] == [("1", 90), ("2", 10)]
    assert table.mirror == "2"


async def test_files_come_whole_and_verified(running, follow, model):
    """All that were listed, and nothing else; the second time from the disk."""
    following = follow()
    version = await following.version()
    folder = await following.source.fetch(version, [])
    names = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    assert {str(name) for name in names} == {file.path for file in running.folders["tiny", 1].files}
    assert all((folder / name).read_bytes() == (model / name).read_bytes() for name in names)
    assert await following.source.fetch(version, []) == folder
    assert running.asked_files == 1


async def test_the_last_state_and_the_files_outlive_the_registry(registry, follow, tmp_path):
    """After a restart with nobody there, both are what they were."""
    await registry.serve("tiny", {1: 100})
    async with running_registry(registry, f"unix:{tmp_path}/r.sock"):
        before = follow()
        state = await before.state()
        folder = await before.source.fetch(state.tables[0].versions[0], [])
        # The next state comes only after this one is kept.
        await registry.serve("tiny", {1: 100})
        await before.state()
        await before.close()
    after = follow()
    kept = await after.state()
    assert kept.tables[0].versions == state.tables[0].versions
    assert await after.source.fetch(kept.tables[0].versions[0], []) == folder


async def test_a_registry_that_comes_back_is_followed_again(registry, follow, tmp_path):
    """With what has changed meanwhile."""
    await registry.serve("tiny", {1: 100})
    address = f"unix:{tmp_path}/r.sock"
    following = follow()
    async with running_registry(registry, address):
        await following.state()
    await registry.serve("tiny", {2: 100})
    async with running_registry(registry, address):
        assert (await following.state()).tables[0].routes[0].version == "2"


async def test_a_registry_that_begins_anew_is_believed(registry, follow, tmp_path, store, model):
    """Even if its revisions are lower than what was kept."""
    await registry.serve("tiny", {1: 100})
    await registry.serve("tiny", {2: 100})
    address = f"unix:{tmp_path}/r.sock"
    async with running_registry(registry, address):
        before = follow()
        await before.state()
        await registry.serve("tiny", {2: 100})
        await before.state()
        await before.close()
    fresh = FakeRegistry(store)
    fresh.add("other", 1, model)
    await fresh.serve("other", {1: 100})
    async with running_registry(fresh, address):
        after = follow()
        kept, told = await after.state(), await after.state()
    assert [kept.tables[0].model, told.tables[0].model] == ["tiny", "other"]
    assert told.revision < kept.revision


async def test_a_fetch_goes_on_from_where_it_broke_off(running, follow, store):
    """What has come is not fetched again."""
    following = follow()
    version = await following.version()
    # The files are fetched in the order of their paths.
    before = [file.path for file in running.folders["tiny", 1].files].index(BIG)
    store.breaks = [ROOM] * before + [300_000]
    with pytest.raises(SourceError, match="broke off"):
        await following.source.fetch(version, [])
    store.served.clear()
    assert (await following.source.fetch(version, [])).is_dir()
    assert (BIG_FILE, 300_000) in store.served
    assert not [name for name, start in store.served if name != BIG_FILE and start]


async def test_a_store_without_ranges_is_asked_from_the_beginning(running, follow, store):
    """The beginning that is there is thrown away, not written twice."""
    following = follow()
    version = await following.version()
    before = [file.path for file in running.folders["tiny", 1].files].index(BIG)
    store.breaks = [ROOM] * before + [300_000]
    with pytest.raises(SourceError):
        await following.source.fetch(version, [])
    store.without_ranges = True
    assert (await following.source.fetch(version, [])).is_dir()


async def test_expired_addresses_are_asked_for_anew(running, follow, store):
    """In the middle of a fetch."""
    following = follow()
    version = await following.version()
    ask = following.source._ask

    async def ask_late(wanted):
        told = await ask(wanted)
        if running.asked_files == 1:
            store.expire()
        return told

    following.source._ask = ask_late
    assert (await following.source.fetch(version, [])).is_dir()
    assert running.asked_files == 2


async def test_addresses_that_are_never_good_end_the_fetch(running, follow, store):
    """It says so, without the addresses."""
    following = follow()
    version = await following.version()
    ask = following.source._ask

    async def ask_late(wanted):
        told = await ask(wanted)
        store.expire()
        return told

    following.source._ask = ask_late
    with pytest.raises(SourceError, match="refuses the addresses") as refused:
        await following.source.fetch(version, [])
    assert "http" not in str(refused.value)


@pytest.mark.parametrize("body", [b"x", b"x" * (1 << 20), b"x" * (1 << 21)])
async def test_files_that_differ_are_never_used(running, follow, store, body):
    """Too short, too long, or of other bytes; once the store has the right ones they are fetched.

    One that was too short may have been broken off: that it differs is seen when it is whole.
    """
    following = follow()
    version = await following.version()
    store.replaced[BIG_FILE] = body
    with pytest.raises(SourceError, match=BIG):
        await following.source.fetch(version, [])
    store.replaced.clear()
    if body == b"x":
        with pytest.raises(SourceError, match=f"{BIG} is not what its digest names"):
            await following.source.fetch(version, [])
    assert not list((following.source._cache._folder / "versions").iterdir())
    assert (await following.source.fetch(version, [])).is_dir()


async def test_files_of_another_digest_than_the_states_are_refused(running, follow, model):
    """The registry must not say one thing and give another."""
    following = follow()
    version = await following.version()
    (model / "config.json").write_text(json.dumps({"other": True}))
    running.add("tiny", 1, model)
    with pytest.raises(SourceError, match="other digests"):
        await following.source.fetch(version, [])


async def test_without_the_registry_files_cannot_be_had(registry, follow, tmp_path):
    """It says what is missing."""
    await registry.serve("tiny", {1: 100})
    following = follow()
    async with running_registry(registry, f"unix:{tmp_path}/r.sock"):
        version = await following.version()
    with pytest.raises(SourceError, match="UNAVAILABLE"):
        await following.source.fetch(version, [])


async def test_two_numbers_of_the_same_files_are_fetched_once(running, follow):
    """One after the other, from one folder."""
    following = follow()
    await following.state()
    await running.serve("tiny", {1: 50, 2: 50})
    one, two = (await following.state()).tables[0].versions
    folders = await asyncio.gather(*(following.source.fetch(each, []) for each in (one, two)))
    assert folders[0] == folders[1]
    assert running.asked_files == 1
