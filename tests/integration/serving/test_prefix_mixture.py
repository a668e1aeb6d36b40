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
from tests.integration.serving.branches import Branches
from tests.integration.serving.conftest import GREEDY, Bench, read_version
from tests.integration.serving.small_engine import CONFIG, command
from tests.integration.serving.steps import LOGPROB_TOLERANCE

ROUNDS = 20


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
        self._branches = Branches(self._chance)
        self.answered = self.left = 0

    async def round(self) -> None:
        """Some at once; of those that are not left, each answer is checked."""
        await asyncio.gather(*(self._one(prompt) for prompt in self._branches.round()))

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
        self._branches.keep(prompt + expected.token_ids[0])

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
