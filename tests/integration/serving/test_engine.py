"""What the real engine does with a request: repeats, seeds, choices, resumption, its end."""

import asyncio
import math
from pathlib import Path

import pytest

from services.rpc.errors import InvalidArgument, ResourceExhausted, Unavailable
from services.serving.detokenizer import Detokenizer, StopScanner
from services.serving.engine import Format, Sampling
from services.serving.settings import Settings
from tests.integration.serving.conftest import Bench, read_version

pytestmark = pytest.mark.asyncio(loop_scope="module")

RANDOM = Sampling(temperature=1.0)
PROMPTS = [[310 + 7 * row + column for column in range(20)] for row in range(8)]
LONG_PROMPT = [300 + (13 * index) % 900 for index in range(1200)]


async def test_greedy_answers_do_not_depend_on_company(shared: Bench):
    """A greedy answer is the same alone, again, and among seven others and a long prompt."""
    alone = [await shared.ask(prompt_ids=prompt, tokens_max=40) for prompt in PROMPTS]
    again = await shared.ask(prompt_ids=PROMPTS[0], tokens_max=40)
    *together, _ = await asyncio.gather(
        *(shared.ask(prompt_ids=prompt, tokens_max=40) for prompt in [*PROMPTS, LONG_PROMPT])
    )
    assert again.token_ids == alone[0].token_ids
    assert [one.token_ids for one in together] == [one.token_ids for one in alone]


async def test_a_resumed_answer_goes_on_as_if_nothing_had_happened(shared: Bench):
    """Resuming after any token gives the undisturbed answer's tokens, text and log probabilities,
    whatever characters or stop strings the cut goes through."""
    asked = {"prompt_ids": PROMPTS[1], "tokens_max": 24, "logprobs": True}
    whole = await shared.ask(**asked)
    text = whole.texts[0]
    stops = (text[-3:] + "?", "\ue000")
    for cut in range(1, 24):
        held_ids = whole.token_ids[0][:cut]
        resumed = await shared.ask(**asked, resume_ids=held_ids, stop_strings=stops)
        assert resumed.token_ids[0] == whole.token_ids[0][cut:]
        assert _shown(shared, held_ids, stops) + resumed.texts[0] == text
        assert resumed.logprobs == pytest.approx(whole.logprobs[cut:], abs=1e-4)
        assert resumed.finished[0].completion_tokens == 24


def _shown(bench: Bench, ids: list[int], stops: tuple[str, ...]) -> str:
    """What a reader has seen when these tokens have come and no more."""
    detokenizer, scanner = Detokenizer(bench.replica.prompts.vocabulary), StopScanner(stops)
    return "".join(scanner.feed(detokenizer.feed(token_id))[0] for token_id in ids)


async def test_a_seed_repeats_among_others(shared: Bench):
    """A seeded answer is the same alone and while others are sampled; another seed differs."""
    alone = await shared.ask(sampling=RANDOM, seed=7, tokens_max=24)
    company = [shared.ask(sampling=RANDOM, seed=seed, tokens_max=24) for seed in (1, 7, 2)]
    found = await asyncio.gather(*company)
    assert found[1].token_ids == alone.token_ids
    assert found[0].token_ids != alone.token_ids


async def test_answers_without_a_seed_differ(shared: Bench):
    """Nobody gets another's answer again by chance."""
    found = [await shared.ask(sampling=RANDOM, tokens_max=16) for _ in range(3)]
    assert len({tuple(one.token_ids[0]) for one in found}) == 3


async def test_choices_differ_and_repeat(shared: Bench):
    """Eight choices are eight answers, and the same again; choice i has the seed plus i."""
    first = await shared.ask(sampling=RANDOM, seed=5, choices=8, tokens_max=16)
    again = await shared.ask(sampling=RANDOM, seed=5, choices=8, tokens_max=16)
    third = await shared.ask(sampling=RANDOM, seed=7, tokens_max=16)
    assert first.token_ids == again.token_ids
    assert len({tuple(ids) for ids in first.token_ids.values()}) == 8
    assert first.token_ids[2] == third.token_ids[0]


async def test_sampling_options_reach_the_sampler(shared: Bench):
    """The narrowest top_k, top_p and min_p each make sampling greedy; a penalty changes it."""
    greedy = await shared.ask(tokens_max=16)
    for narrow in ({"top_k": 1}, {"top_p": 1e-6}, {"min_p": 0.999999}, {"temperature": 1e-4}):
        found = await shared.ask(sampling=Sampling(**narrow), seed=3, tokens_max=16)
        assert found.token_ids == greedy.token_ids, narrow
    for penalty in ("presence_penalty", "frequency_penalty", "repetition_penalty"):
        sampling = Sampling(temperature=0, **{penalty: 2.0})
        found = await shared.ask(sampling=sampling, tokens_max=64)
        ids = found.token_ids[0]
        usual = (await shared.ask(tokens_max=64)).token_ids[0]
        assert len(set(ids)) > len(set(usual)), penalty


async def test_an_end_token_ends(shared: Bench, settings: Settings):
    """The model's end token ends an answer with `stop`, once it is sampled, and shows no text."""
    end_id = shared.replica.model.end_ids[0]
    for seed in range(400):
        sampling = Sampling(temperature=2.0)
        found = await shared.ask(sampling=sampling, seed=seed, tokens_max=300, ignore_end=False)
        if found.finished[0].reason == "stop":
            assert found.token_ids[0].count(end_id) == 1
            assert found.token_ids[0][-1] == end_id
            assert "<|" not in found.texts[0]
            assert found.finished[0].completion_tokens == len(found.token_ids[0])
            return
    pytest.fail("none of 400 answers came to an end")


async def test_logprobs_are_of_the_sampled_tokens(shared: Bench):
    """Each sampled token has a log probability, and none is above 0 or not a number."""
    answers = await shared.ask(logprobs=True, sampling=RANDOM, seed=1, choices=3, tokens_max=12)
    assert len(answers.logprobs) == 36
    assert all(value <= 0 and math.isfinite(value) for value in answers.logprobs)


@pytest.mark.slow
async def test_a_greedy_answer_is_the_models_own(shared: Bench, tiny_model: Path):
    """Tokens and log probabilities are those that the weights give when asked directly."""
    import torch
    from transformers import LlamaForCausalLM

    found = await shared.ask(prompt_ids=PROMPTS[0], tokens_max=24, logprobs=True)
    model = LlamaForCausalLM.from_pretrained(tiny_model, local_files_only=True)
    ids = [*PROMPTS[0], *found.token_ids[0]]
    with torch.inference_mode():
        logits = model(torch.tensor([ids])).logits[0, len(PROMPTS[0]) - 1 : -1]
    likely = torch.log_softmax(logits.double(), -1).max(-1)
    assert likely.indices.tolist() == found.token_ids[0]
    assert found.logprobs == pytest.approx(likely.values.tolist(), abs=1e-3)


async def test_more_answers_than_run_at_once_all_end(settings: Settings):
    """Answers that wait for their turn come out as they would alone."""
    few = settings.model_copy(update={"sequences_max": 3})
    bench = Bench(read_version(few))
    await bench.ready()
    asks = [bench.ask(prompt_ids=prompt, tokens_max=60) for prompt in PROMPTS]
    found = await asyncio.gather(*asks)
    alone = await bench.ask(prompt_ids=PROMPTS[7], tokens_max=60)
    await bench.replica.close()
    assert [one.finished[0].completion_tokens for one in found] == [60] * 8
    assert found[7].token_ids == alone.token_ids


async def test_a_full_queue_refuses_at_once(settings: Settings):
    """What exceeds the bound is refused with a wait, and what is inside ends."""
    bench = Bench(read_version(settings.model_copy(update={"queue_sequences_max": 2})))
    await bench.ready()
    inside = [asyncio.create_task(bench.ask(tokens_max=200)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(ResourceExhausted) as refusal:
        await bench.ask(tokens_max=5)
    assert refusal.value.retry_after_s >= 1
    for answers in await asyncio.gather(*inside):
        assert answers.finished[0].completion_tokens == 200
    await bench.replica.close()


async def test_a_format_that_breaks_the_engine_is_tried_once(settings: Settings):
    """A grammar that gets past our checks is refused for its sender and from then on; what else was
    in the engine is lost, what comes then is answered."""
    bench = Bench(read_version(settings))
    await bench.ready()
    form = Format("root ::= nothing_of_this_name")
    inside = asyncio.create_task(bench.ask(tokens_max=1500))
    await _until_running(bench)
    bad = [asyncio.create_task(bench.ask(format=form, tokens_max=4)) for _ in range(3)]
    for task in bad:
        with pytest.raises(InvalidArgument) as refusal:
            await task
        assert refusal.value.reason == "OUTPUT_FORMAT_INVALID"
    with pytest.raises(Unavailable) as lost:
        await inside
    assert lost.value.reason == "ENGINE_DIED"
    with pytest.raises(InvalidArgument):
        await bench.ask(format=form, tokens_max=4, ignore_end=False)
    assert (await bench.ask(tokens_max=4)).finished[0].reason == "length"
    assert bench.replica.engine.restarts == 1
    await bench.replica.close()


async def _until_running(bench: Bench) -> None:
    async with asyncio.timeout(10):
        while not bench.replica.engine.load.running:  # noqa: ASYNC110 (a count tells nobody)
            await asyncio.sleep(0.001)
