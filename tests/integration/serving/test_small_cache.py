"""The real engine with a cache that holds little: answers are put off or refused, never broken."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.rpc.errors import Internal
from services.serving.admission import Limits
from services.serving.engine import Sampling
from services.serving.engine_process import EngineProcess
from services.serving.loaded import Loaded
from services.serving.prompts import read_prompts
from services.serving.settings import Settings
from services.serving.source import FolderSource
from tests.integration.serving.conftest import Bench
from tests.integration.serving.small_engine import CONFIG, command

BLOCKS, BLOCK_TOKENS = 15, 32
PROMPTS = [[310 + 7 * row + column for column in range(40)] for row in range(8)]


@pytest.fixture(params=[False, True], ids=["plain", "prefix caching"])
def caching(request: pytest.FixtureRequest) -> bool:
    """Whether the engine keeps what was computed of prompts."""
    return request.param


@pytest.fixture
async def small(settings: Settings, caching: bool) -> AsyncIterator[Bench]:
    """A replica whose engine has a small cache."""
    source = FolderSource(settings.model_dir, "tiny")
    model = source.model
    engine = EngineProcess(
        {**CONFIG, "model_dir": str(model.engine_folder), "prefix_caching": caching},
        stall_s_min=4,
        load_timeout_s=60,
        worker=command(BLOCKS),
    )
    limits = Limits(running_max=8, sequences_max=16, tokens_max=100_000)
    bench = Bench(Loaded(source.version, model, read_prompts(settings.model_dir), engine, limits))
    await bench.ready()
    yield bench
    await bench.replica.close()


@pytest.mark.parametrize(
    "wishes",
    [
        {"sampling": Sampling(temperature=0)},
        {"sampling": Sampling(temperature=0, presence_penalty=1, frequency_penalty=0.5)},
        {"sampling": Sampling(), "seed": 7},
    ],
    ids=["greedy", "penalties", "seed"],
)
async def test_answers_that_do_not_fit_together_come_out_as_alone(
    small: Bench, caching: bool, wishes: dict[str, object]
):
    """Eight answers of 140 tokens need twice the cache: some are put off, none is changed."""
    asked = [{"prompt_ids": prompt, "tokens_max": 100, **wishes} for prompt in PROMPTS]
    alone = [await small.ask(**one) for one in asked]
    together = await asyncio.gather(*(small.ask(**one) for one in asked))
    assert len(PROMPTS) * 140 > 2 * BLOCKS * BLOCK_TOKENS
    assert [one.token_ids for one in together] == [one.token_ids for one in alone]
    # Without prefix caching the engine does it, and tells nobody.
    assert bool(small.replica.engine.load.preemptions) is caching


async def test_a_prompt_that_never_fits_is_refused_alone(small: Bench):
    """It fails at once, and what else is in the engine does not notice."""
    prompt = [300 + index % 900 for index in range(BLOCKS * BLOCK_TOKENS)]
    beside = asyncio.create_task(small.ask(tokens_max=60))
    with pytest.raises(Internal) as refusal:
        async with asyncio.timeout(10):
            await small.ask(prompt_ids=prompt, tokens_max=4)
    assert refusal.value.reason == "ENGINE_REFUSED"
    assert (await beside).finished[0].completion_tokens == 60
    assert small.replica.engine.restarts == 0


async def test_an_answer_ends_where_the_cache_does(small: Bench):
    """One that would outgrow the whole cache ends with `length`, and others beside it go on."""
    prompt = [300 + index % 900 for index in range(BLOCKS * BLOCK_TOKENS - 40)]
    asks = [small.ask(prompt_ids=prompt, tokens_max=200) for _ in range(2)]
    beside = small.ask(tokens_max=100)
    *long, short = await asyncio.gather(*asks, beside)
    for answers in long:
        assert answers.finished[0].reason == "length"
        assert 20 <= answers.finished[0].completion_tokens <= 40
    assert short.finished[0].completion_tokens == 100
    assert small.replica.engine.restarts == 0
