"""Prefix caching under anything at once: branches, cancellations, and a cache that overflows."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from services.serving.admission import Limits
from services.serving.ask import Ask
from services.serving.engine_process import EngineProcess
from services.serving.loaded import Loaded
from services.serving.prompts import read_prompts
from services.serving.settings import Settings
from services.serving.source import FolderSource
from tests.integration.serving.conftest import GREEDY, Bench, read_version
from tests.integration.serving.small_engine import CONFIG, command

ROUNDS = 20
TOKENS_MAX = 600
KEPT_MAX = 40
# A single other token among hundreds changes more.
LOGPROB_TOLERANCE = 2e-5


@pytest.fixture
async def plain(settings: Settings) -> AsyncIterator[Bench]:
    """An engine that keeps nothing."""
    bench = Bench(read_version(settings.model_copy(update={"prefix_caching": False})))
    await bench.ready()
    yield bench
    await bench.replica.close()


@pytest.fixture(params=[2000, 40, 24], ids=["roomy", "full", "fuller"])
async def keeping(settings: Settings, request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """One that keeps what fits into so many blocks."""
    source = FolderSource(settings.model_dir, "tiny")
    engine = EngineProcess(
        {**CONFIG, "model_dir": str(source.model.engine_folder), "prefix_caching": True},
        stall_s_min=4,
        load_timeout_s=60,
        worker=command(request.param),
    )
    limits = Limits(running_max=16, sequences_max=64, tokens_max=1_000_000)
    prompts = read_prompts(settings.model_dir)
    bench = Bench(Loaded(source.version, source.model, prompts, engine, limits))
    await bench.ready()
    yield bench
    await bench.replica.close()


class Mixture:
    """Requests that begin as earlier ones did, went on or ended."""

    def __init__(self, keeping: Bench, plain: Bench, seed: int) -> None:
        self._keeping, self._plain = keeping, plain
        self._chance = random.Random(seed)
        self._kept = [self._tokens(length) for length in (3, 40, 90, 200, 333)]
        self.answered = self.left = 0

    async def round(self) -> None:
        """Some at once; of those that are not left, each answer is checked."""
        prompts = [self._prompt() for _ in range(self._chance.randint(1, 10))]
        if self._chance.random() < 0.5:
            beginning = self._prompt()
            prompts += [beginning + self._tokens(self._chance.randint(1, 50)) for _ in range(3)]
        await asyncio.gather(*(self._one(prompt[:TOKENS_MAX]) for prompt in prompts))

    async def _one(self, prompt: list[int]) -> None:
        tokens_max = self._chance.choice((1, 2, 5, 20, 40))
        leaves = self._chance.random() < 0.35
        await asyncio.sleep(self._chance.choice((0, 0, 0.002, 0.01, 0.03)))
        if leaves:
            await self._leave(prompt, self._chance.choice((0, 0.001, 0.005, 0.02, 0.05)))
            return
        asked = {"prompt_ids": prompt, "tokens_max": tokens_max, "logprobs": True}
        found = await self._keeping.ask(**asked)
        expected = await self._plain.ask(**asked)
        # A full cache ends some answers early.
        count = len(found.logprobs)
        assert found.token_ids[0] == expected.token_ids[0][:count]
        assert found.logprobs == pytest.approx(expected.logprobs[:count], abs=LOGPROB_TOLERANCE)
        self.answered += 1
        self._kept = [*self._kept[-KEPT_MAX:], prompt + expected.token_ids[0]]

    async def _leave(self, prompt: list[int], after_s: float) -> None:
        asked = Ask(prompt_ids=prompt, sampling=GREEDY, ignore_end=True, tokens_max=40)

        async def read() -> None:
            async with aclosing(self._keeping.replica.generations.generate(asked)) as events:
                async for _ in events:
                    pass

        task = asyncio.create_task(read())
        await asyncio.wait([task], timeout=after_s)
        task.cancel()
        await asyncio.wait([task])
        self.left += 1

    def _prompt(self) -> list[int]:
        beginning = self._chance.choice(self._kept)
        if self._chance.random() < 0.3:
            beginning = beginning[: self._chance.randint(1, len(beginning))]
        return beginning + self._tokens(self._chance.choice((0, 1, 5, 20, 32, 60, 200)))

    def _tokens(self, count: int) -> list[int]:
        return [self._chance.randrange(300, 1200) for _ in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
async def test_whatever_came_before_an_answer_is_the_same(
    keeping: Bench, plain: Bench, seed: int
) -> None:
    """As from an engine that keeps nothing, and the engine lives through it."""
    mixture = Mixture(keeping, plain, seed)
    for _ in range(ROUNDS):
        await mixture.round()
    assert mixture.answered > ROUNDS
    assert mixture.left > ROUNDS // 2
    assert keeping.replica.engine.restarts == 0
