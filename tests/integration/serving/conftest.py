"""A real engine with a tiny model of random weights, and requests to it past the wire."""

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import pytest_asyncio

from services.serving.ask import Ask, Delta, Finished
from services.serving.engine import Sampling
from services.serving.loaded import Loaded
from services.serving.loader import read_folder
from services.serving.settings import Settings
from stack.environment.places import ROOT

READY_S = 60.0
GREEDY = Sampling(temperature=0)


@pytest.fixture(scope="session")
def tiny_model() -> Path:
    """A model folder of about 0.2 million random weights; it seldom comes to an end."""
    return made_model(seed=0)


@pytest.fixture(scope="session")
def other_model() -> Path:
    """Another one, which answers differently."""
    return made_model(seed=1)


def made_model(seed: int, layers: int = 0) -> Path:
    """Makes a tiny model, or one of more layers, kept between runs as long as `training` does not
    change, since it takes 20 s to make."""
    from training import shapes

    digest = hashlib.sha256()
    for path in sorted((ROOT / "training").iterdir()):
        digest.update(path.read_bytes() if path.is_file() else b"")
    cache = Path(tempfile.gettempdir()) / f"parley-tests-{os.getuid()}"
    cache.mkdir(mode=0o700, exist_ok=True)
    assert cache.stat().st_uid == os.getuid()
    deep = f"-{layers}-layers" if layers else ""
    folder = cache / f"tiny-{digest.hexdigest()[:16]}{f'-{seed}' if seed else ''}{deep}"
    if not folder.exists():
        shape = replace(shapes.TINY_SHAPE, layers=layers or shapes.TINY_SHAPE.layers)
        shapes.make_random_model(folder, shape, seed)
    return folder


@pytest.fixture(scope="session")
def settings(tiny_model: Path) -> Settings:
    """A replica's settings for the tiny model; changed by `model_copy`."""
    return Settings(
        address="unix:unused", model_dir=tiny_model, model_name="tiny", stall_s_min=1, threads=2
    )


def read_version(settings: Settings) -> Loaded:
    """The version in the settings' folder."""
    return read_folder(settings, settings.model_dir)


@dataclass
class Answers:
    """What one request brought."""

    token_ids: dict[int, list[int]] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)
    logprobs: list[float] = field(default_factory=list)
    finished: dict[int, Finished] = field(default_factory=dict)

    def add(self, event: object) -> None:
        """Takes one event in, and checks that no token is missing."""
        if isinstance(event, Delta):
            ids = self.token_ids.setdefault(event.choice, [])
            ids += event.token_ids
            self.texts[event.choice] = self.texts.get(event.choice, "") + event.text
            self.logprobs += event.logprobs
        elif isinstance(event, Finished):
            self.finished[event.choice] = event


class Bench:
    """One version without its replica."""

    def __init__(self, replica: Loaded) -> None:
        self.replica = replica
        self._changed = asyncio.Event()
        self.replica.start(self._changed.set)

    async def ready(self) -> None:
        """Waits until the engine answers."""
        async with asyncio.timeout(READY_S):
            while not self.replica.engine.ready:
                self._changed.clear()
                await self._changed.wait()

    async def ask(self, **asked: object) -> Answers:
        """Runs one request to its end; a greedy one that goes past the end token, if nothing else
        is said."""
        given = {
            "prompt_ids": [301, 302, 303],
            "sampling": GREEDY,
            "ignore_end": "format" not in asked,
            **asked,
        }
        answers = Answers()
        async with aclosing(self.replica.generations.generate(Ask(**given))) as events:
            async for event in events:
                answers.add(event)
        return answers


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(settings: Settings) -> AsyncIterator[Bench]:
    """A version for tests that leave it as it was."""
    made = Bench(read_version(settings))
    await made.ready()
    yield made
    await made.replica.close()
