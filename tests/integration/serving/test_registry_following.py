"""A replica's process and real engines, following a registry: promotion, rollback, and whatever
fails on the way.

Two tiny models give different answers to the same prompt, so that an answer shows its version.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from parley.serving.v1 import model_serving_pb2 as pb

from tests.fakes.files import FileServer, file_server
from tests.fakes.registry import DATASET, RUN, FakeRegistry, running_registry
from tests.integration.serving.processes import SERVING, WAIT_S, Running, ready_replica, until

pytestmark = pytest.mark.slow

STREAMS = 32
TOKENS = 150
GREEDY = pb.Sampling(temperature=0)
ENGINE_FILE = "openvino/openvino_model.bin"


@dataclass
class Answer:
    """One answer."""

    started: pb.Started
    ids: list[int]


async def ask(running: Running, model: str = "tiny", tokens: int = TOKENS) -> Answer:
    """Asks for a greedy answer; fails if it does not end whole."""
    answer = Answer(pb.Started(), [])
    async for event in running.generate(tokens, model=model, sampling=GREEDY):
        if event.HasField("started"):
            answer.started = event.started
        answer.ids += event.delta.token_ids
    assert len(answer.ids) == tokens
    return answer


@pytest.fixture
def store() -> Iterator[FileServer]:
    """An object store."""
    with file_server() as running:
        yield running


@pytest.fixture
def registry(store, tiny_model, other_model) -> FakeRegistry:
    """Knows version 1 and 2."""
    known = FakeRegistry(store)
    known.add("tiny", 1, tiny_model)
    known.add("tiny", 2, other_model)
    return known


@asynccontextmanager
async def following(folder: Path, **settings: object) -> AsyncIterator[Running]:
    """A replica that serves what the registry, or its cache, says."""
    told = {
        "registry_address": f"unix:{folder}/r.sock",
        "cache_dir": folder / "cache",
        "threads": 1,
        "memory_gib": 8,
        **settings,
    }
    async with ready_replica(None, folder, **told) as running:
        yield running


@pytest.fixture
async def running(registry, tmp_path) -> AsyncIterator[Running]:
    """A replica that serves version 1 of a running registry."""
    await registry.serve("tiny", {1: 100})
    async with (
        running_registry(registry, f"unix:{tmp_path}/r.sock"),
        following(tmp_path) as replica,
    ):
        yield replica


async def until_served(running: Running, version: str) -> None:
    """Waits until a version takes all traffic."""

    async def takes_all() -> bool:
        model = (await running.models()).get(version)
        return model is not None and (model.state, model.weight) == (pb.MODEL_STATE_READY, 100)

    await until(takes_all, True)


async def until_failed(running: Running, version: str) -> str:
    """Waits until a version has failed, and returns why."""

    async def has_failed() -> bool:
        model = (await running.models()).get(version)
        return model is not None and model.state == pb.MODEL_STATE_FAILED

    await until(has_failed, True)
    return (await running.models())[version].detail


async def test_a_promotion_fails_no_stream_and_mixes_none(registry, running):
    """Thirty-two streams run on while the new version is fetched, loaded and takes over.

    Each one's tokens are those of the version that it began with, and once the new one has taken
    over every new stream is its: whoever asks again and again comes to it and stays.
    """
    expected = {"1": (await ask(running)).ids}

    async def ask_until_it_is_the_new_one() -> list[Answer]:
        answers = [await ask(running)]
        while answers[-1].started.version != "2":
            answers.append(await ask(running))
        return answers

    streams = [asyncio.create_task(ask_until_it_is_the_new_one()) for _ in range(STREAMS)]
    await registry.serve("tiny", {2: 100}, standby=[1])
    await until_served(running, "2")
    late = [await ask(running) for _ in range(3)]
    answers = [answer for row in await asyncio.gather(*streams) for answer in row]
    expected["2"] = (await ask(running)).ids
    assert expected["1"] != expected["2"]
    assert {answer.started.version for answer in answers} == {"1", "2"}
    assert all(answer.ids == expected[answer.started.version] for answer in answers)
    assert {answer.started.version for answer in late} == {"2"}
    first, last = answers[0].started, late[-1].started
    assert [(one.revision, one.digest) for one in (first, last)] == [
        (revision, registry.folders["tiny", revision].digest) for revision in (1, 2)
    ]
    assert (last.run_id, last.dataset_digest) == (RUN, DATASET)
    models = (await running.models()).values()
    assert [model.engine_restarts for model in models] == [0, 0]
    assert "generation=" not in running.log.read_text(), "addresses of files are secret"
    print(f"{len(answers)} streams of {TOKENS} tokens during the promotion, none failed")


async def test_a_rollback_is_a_switch(registry, running):
    """The predecessor's engine never went away; the next stream is its."""
    await registry.serve("tiny", {2: 100}, standby=[1])
    await until_served(running, "2")
    engines = {child.pid for child in running.process.children()}
    fetched = registry.asked_files
    await registry.serve("tiny", {1: 100}, standby=[2])
    await until_served(running, "1")
    assert (await ask(running, tokens=5)).started.version == "1"
    assert {child.pid for child in running.process.children()} == engines
    assert len(engines) == 2
    assert registry.asked_files == fetched


async def test_what_is_no_longer_wanted_gives_its_memory_back(registry, running):
    """Its engine's process ends."""
    await registry.serve("tiny", {2: 100})
    await until_served(running, "2")

    async def engines() -> int:
        return len(running.process.children())

    await until(engines, 1)
    assert list(await running.models()) == ["2"]


async def test_files_of_a_wrong_digest_are_never_served(registry, running, store, other_model):
    """Of the right length but for one byte: the version fails, the old one goes on, and the new
    one is taken as soon as the store has the right bytes."""
    right = (other_model / ENGINE_FILE).read_bytes()
    store.replaced[f"tiny/2/{ENGINE_FILE}"] = right[:-1] + bytes([right[-1] ^ 1])
    await registry.serve("tiny", {2: 100}, standby=[1])
    assert ENGINE_FILE in await until_failed(running, "2")
    assert (await ask(running, tokens=5)).started.version == "1"
    assert len(running.process.children()) == 1
    store.replaced.clear()
    await until_served(running, "2")


async def test_serving_goes_on_without_the_registry_and_begins_without_it(registry, tmp_path):
    """The registry goes, then the replica is started again: it serves from its cache, both the
    champion and what stands by, by the last revision."""
    await registry.serve("tiny", {1: 100})
    async with (
        running_registry(registry, f"unix:{tmp_path}/r.sock"),
        following(tmp_path) as running,
    ):
        await registry.serve("tiny", {2: 100}, standby=[1])
        await until_served(running, "2")
        before = await ask(running)
    registry.store.expire()
    async with following(tmp_path) as running:
        after = await ask(running)
        assert after.started == before.started
        assert after.ids == before.ids
        await until(running.health, SERVING)

        async def standby() -> bool:
            model = (await running.models()).get("1")
            return model is not None and model.state == pb.MODEL_STATE_READY

        await until(standby, True)
        assert (await ask(running, "tiny@1", 5)).started.version == "1"


async def test_a_replica_that_begins_while_the_store_is_down_serves_what_it_has(
    registry, store, tmp_path
):
    """The champion's files cannot be had: its predecessor, which stands by, answers from the cache;
    once the store is back, the champion does."""
    await registry.serve("tiny", {1: 100})
    async with running_registry(registry, f"unix:{tmp_path}/r.sock"):
        async with following(tmp_path):
            pass
        hidden = dict(store.files)
        store.files.clear()
        await registry.serve("tiny", {2: 100}, standby=[1])
        async with following(tmp_path) as running:
            assert (await ask(running, tokens=5)).started.version == "1"
            assert "404" in (await running.models())["2"].detail
            store.files |= hidden
            await until_served(running, "2")


async def test_a_registry_that_is_killed_is_not_missed(registry, tmp_path):
    """Streams go on, new ones begin, and the registry's next state is taken when it is back."""
    await registry.serve("tiny", {1: 100})
    address = f"unix:{tmp_path}/r.sock"
    async with following_after(registry, address, tmp_path) as running:
        assert await running.health() == SERVING
        assert (await ask(running)).started.version == "1"
        await registry.serve("tiny", {2: 100}, standby=[1])
        async with running_registry(registry, address):
            await until_served(running, "2")


@asynccontextmanager
async def following_after(
    registry: FakeRegistry, address: str, folder: Path
) -> AsyncIterator[Running]:
    """A replica whose registry went away in the middle of a stream."""
    async with running_registry(registry, address):
        replica = following(folder)
        running = await replica.__aenter__()
        stream = asyncio.create_task(ask(running, tokens=1500))
    try:
        await asyncio.wait_for(stream, WAIT_S)
        yield running
    finally:
        await replica.__aexit__(None, None, None)
        assert running.process.returncode == 0


async def test_a_version_that_cannot_fit_into_memory_is_refused(registry, tmp_path):
    """It is FAILED with the figures; the old one goes on."""
    await registry.serve("tiny", {1: 100})
    async with (
        running_registry(registry, f"unix:{tmp_path}/r.sock"),
        following(tmp_path, memory_gib=2) as running,
    ):
        await registry.serve("tiny", {2: 100}, standby=[1])
        detail = await until_failed(running, "2")
        assert "2.00 GiB" in detail
        assert (await ask(running, tokens=5)).started.version == "1"
        assert len(running.process.children()) == 1


async def test_standby_gives_way_to_what_is_needed(registry, running_small):
    """With room for two, the predecessor of the predecessor goes before the next one comes."""
    await registry.serve("tiny", {2: 100}, standby=[1])
    await until_served(running_small, "2")
    await registry.serve("tiny", {3: 100}, standby=[1, 2])
    await until_served(running_small, "3")
    assert (await ask(running_small, tokens=5)).started.version == "3"
    assert len(running_small.process.children()) == 2


@pytest.fixture
async def running_small(registry, tiny_model, tmp_path) -> AsyncIterator[Running]:
    """A replica with memory for two versions of three."""
    registry.add("tiny", 3, tiny_model)
    await registry.serve("tiny", {1: 100})
    async with (
        running_registry(registry, f"unix:{tmp_path}/r.sock"),
        following(tmp_path, memory_gib=2.5) as replica,
    ):
        yield replica
