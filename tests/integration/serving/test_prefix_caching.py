"""The real engine with prefix caching on and off: it saves time, and changes no token.

Whatever an earlier request left in the cache, whole or half done, an answer is the one that an
engine without it gives. Blocks of the cache have 32 tokens. The model repeats its prompt's last
token whatever came before, so log probabilities are compared: these show a single other token.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

import pytest
import pytest_asyncio

from services.serving.ask import Ask
from services.serving.engine import Format, Sampling
from services.serving.settings import Settings
from tests.integration.serving.branches import prompt_of
from tests.integration.serving.conftest import GREEDY, Answers, Bench, read_version

pytestmark = pytest.mark.asyncio(loop_scope="module")

RANDOM = Sampling(temperature=1.0)
CONTEXT_TOKENS = 1200
# Least that one other token among 160 changes is ten times as much.
LOGPROB_TOLERANCE = 2e-5
# More than one step takes, so that a prompt can be left when it is half read.
STEP_TOKENS = 128


@dataclass
class Both:
    """Two engines that differ in nothing else."""

    on: Bench
    off: Bench

    async def same(self, **asked: object) -> Answers:
        """One answer of both, which must not differ."""
        expected = await ask(self.off, **asked)
        check_same(await ask(self.on, **asked), expected)
        return expected


async def ask(bench: Bench, **asked: object) -> Answers:
    """One answer, with its log probabilities."""
    return await bench.ask(**{"logprobs": True, "tokens_max": 40, **asked})


def check_same(found: Answers, expected: Answers) -> None:
    """Fails unless both say the same, as probably, to the same end."""
    assert found.token_ids == expected.token_ids
    assert found.texts == expected.texts
    assert _ends(found) == _ends(expected)
    # Those of several choices come mixed.
    ordered = list if len(found.token_ids) == 1 else sorted
    assert ordered(found.logprobs) == pytest.approx(
        ordered(expected.logprobs), abs=LOGPROB_TOLERANCE
    )


def _ends(answers: Answers) -> list[tuple[int, str, int]]:
    finished = answers.finished.values()
    return sorted((one.choice, one.reason, one.completion_tokens) for one in finished)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both(settings: Settings) -> AsyncIterator[Both]:
    """Both engines, ready."""
    benches = []
    for caching in (True, False):
        changed = {"prefix_caching": caching, "batch_tokens_max": STEP_TOKENS}
        benches.append(Bench(read_version(settings.model_copy(update=changed))))
    for bench in benches:
        await bench.ready()
    yield Both(*benches)
    for bench in benches:
        await bench.replica.close()


@pytest.mark.parametrize("tokens", [1, 31, 32, 33, 63, 64, 65, 128, 129, 511, 512, 513])
async def test_a_prompt_that_is_asked_again_is_answered_alike(both: Both, tokens: int):
    """Three times, whether its end is a block's end or not."""
    prompt = prompt_of(tokens, tokens)
    whole = await both.same(prompt_ids=prompt)
    for _ in range(2):
        check_same(await ask(both.on, prompt_ids=prompt), whole)


async def test_a_conversation_is_answered_alike(both: Both):
    """Each turn finds the turns before it in the cache, answers included."""
    prompt = prompt_of(1, 70)
    for turn in range(8):
        answers = await both.same(prompt_ids=prompt, tokens_max=45)
        prompt = prompt + answers.token_ids[0] + prompt_of(100 + turn, 50)


async def test_a_branch_of_a_conversation_is_answered_alike(both: Both):
    """Prompts that part within a block, at its end and behind it."""
    prompt = prompt_of(2, 160)
    whole = await both.same(prompt_ids=prompt)
    for place in (1, 31, 32, 33, 95, 96, 97, 159):
        changed = [*prompt[:place], 299, *prompt[place + 1 :]]
        other = await both.same(prompt_ids=changed)
        assert other.logprobs != pytest.approx(whole.logprobs, abs=5 * LOGPROB_TOLERANCE)


async def test_a_resumed_answer_goes_on_alike(both: Both):
    """After any token, on an engine that has the prompt and the answer in its cache."""
    prompt = prompt_of(3, 90)
    whole = await both.same(prompt_ids=prompt)
    for cut in range(1, 40):
        rest = await ask(both.on, prompt_ids=prompt, resume_ids=whole.token_ids[0][:cut])
        assert rest.token_ids[0] == whole.token_ids[0][cut:]
        assert rest.logprobs == pytest.approx(whole.logprobs[cut:], abs=LOGPROB_TOLERANCE)


async def test_prompts_that_begin_alike_at_once_are_answered_alike(both: Both):
    """None takes what another one has not computed yet, and others beside them do not notice."""
    beginning = prompt_of(4, 600)
    prompts = [beginning + prompt_of(200 + number, 1 + 9 * number) for number in range(8)]
    prompts += [beginning, beginning, prompt_of(5, CONTEXT_TOKENS)]
    alone = [await ask(both.off, prompt_ids=prompt) for prompt in prompts]
    for _ in range(2):
        together = await asyncio.gather(*(ask(both.on, prompt_ids=prompt) for prompt in prompts))
        for found, expected in zip(together, alone, strict=True):
            check_same(found, expected)


@pytest.mark.parametrize("steps", [0, 1, 3, 9])
async def test_what_was_left_half_read_is_not_taken_for_whole(both: Both, steps: int):
    """A prompt that was cancelled while it was read, alone and beside an answer."""
    for number in range(6):
        prompt = prompt_of(1000 + 10 * steps + number, CONTEXT_TOKENS)
        beside = asyncio.create_task(both.on.ask(prompt_ids=[301 + number], tokens_max=60))
        await _leave_after(both.on, prompt, steps * 0.004)
        await both.same(prompt_ids=prompt, tokens_max=24)
        assert (await beside).finished[0].completion_tokens == 60


async def _leave_after(bench: Bench, prompt: list[int], seconds: float) -> None:
    asked = Ask(prompt_ids=prompt, sampling=GREEDY, ignore_end=True, tokens_max=40)

    async def read() -> None:
        async with aclosing(bench.replica.generations.generate(asked)) as events:
            async for _ in events:
                pass

    task = asyncio.create_task(read())
    await asyncio.wait([task], timeout=seconds)
    task.cancel()
    await asyncio.wait([task])


async def test_seeds_and_choices_repeat(both: Both):
    """Also where every choice begins with the same blocks."""
    for seed in (1, 2, 1):
        asked = {"prompt_ids": prompt_of(6, 100), "sampling": RANDOM, "seed": seed, "choices": 4}
        await both.same(**asked)


async def test_forms_are_kept(both: Both):
    """A grammar begins behind a prompt that was in the cache."""
    form = Format('root ::= [a-c]{20,30} "."')
    for _ in range(2):
        await both.same(prompt_ids=prompt_of(7, 100), format=form)


async def test_long_after_the_cache_has_overflowed(both: Both):
    """Old blocks have made room for others by then, some of a prompt and not all."""
    first = [prompt_of(3000 + number, CONTEXT_TOKENS) for number in range(4)]
    for prompt in first:
        await both.same(prompt_ids=prompt, tokens_max=8)
    for round_ in range(4):
        asks = [
            both.on.ask(prompt_ids=prompt_of(4000 + 100 * round_ + number, 1900), tokens_max=4)
            for number in range(60)
        ]
        await asyncio.gather(*asks)
    for prompt in first:
        await both.same(prompt_ids=prompt, tokens_max=24)


@pytest.mark.parametrize("tokens", [1, 5, 20])
@pytest.mark.parametrize("length", [3, 70, 600])
async def test_several_ways_to_go_on_at_once_do_not_mix(both: Both, length: int, tokens: int):
    """Follow-ups of one conversation that come together, each answered as if it were alone."""
    seed = 10_000 + 100 * length + tokens
    beginning = prompt_of(seed, length)
    first = await both.same(prompt_ids=beginning, tokens_max=tokens)
    beginning += first.token_ids[0]
    prompts = [beginning + prompt_of(seed + number, 40) for number in range(6)]
    prompts += [beginning[:-1] + prompt_of(seed + 7, 40), prompts[0][:-3], prompts[0]]
    alone = [await ask(both.off, prompt_ids=prompt) for prompt in prompts]
    for _ in range(2):
        together = await asyncio.gather(*(ask(both.on, prompt_ids=prompt) for prompt in prompts))
        for found, expected in zip(together, alone, strict=True):
            check_same(found, expected)
