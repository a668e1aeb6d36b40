"""A real engine with a tiny model of random weights, and requests to it past the wire."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from services.serving.engine import Sampling
from services.serving.generation import Ask, Delta, Finished
from services.serving.replica import Replica
from services.serving.settings import Settings

READY_S = 60.0
GREEDY = Sampling(temperature=0)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of about 0.2 million random weights; it seldom comes to an end."""
    from training import shapes

    folder = tmp_path_factory.mktemp("serving") / "tiny"
    shapes.make_random_model(folder, shapes.TINY_SHAPE)
    return folder


@pytest.fixture
def settings(tiny_model: Path) -> Settings:
    """A replica's settings for the tiny model; changed by `model_copy`."""
    return Settings(address="unix:unused", model_dir=tiny_model, stall_s_min=1, cache_gib=1)


@dataclass
class Answers:
    """What one request brought."""

    token_ids: dict[int, list[int]] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)
    logprobs: list[float] = field(default_factory=list)
    finished: dict[int, Finished] = field(default_factory=dict)


class Bench:
    """One replica without its server."""

    def __init__(self, settings: Settings) -> None:
        self.replica = Replica(settings)
        self._changed = asyncio.Event()
        self.replica.start(self._changed.set)

    async def ready(self) -> None:
        """Waits until the engine answers."""
        async with asyncio.timeout(READY_S):
            while not self.replica.engine.ready:
                self._changed.clear()
                await self._changed.wait()

    async def ask(self, **asked: object) -> Answers:
        """Runs one request to its end."""
        given = {"prompt_ids": [301, 302, 303], "sampling": GREEDY, "ignore_end": True, **asked}
        answers = Answers()
        async with aclosing(self.replica.generations.generate(Ask(**given))) as events:
            async for event in events:
                _collect(answers, event)
        return answers


def _collect(answers: Answers, event: object) -> None:
    if isinstance(event, Delta):
        ids = answers.token_ids.setdefault(event.choice, [])
        ids += event.token_ids
        answers.texts[event.choice] = answers.texts.get(event.choice, "") + event.text
        answers.logprobs += event.logprobs
    elif isinstance(event, Finished):
        answers.finished[event.choice] = event


@pytest.fixture
async def bench(settings: Settings) -> AsyncIterator[Bench]:
    """A replica whose engine is ready."""
    made = Bench(settings)
    await made.ready()
    yield made
    await made.replica.close()
