"""What the real engine does with a request: repeats, seeds, choices, forms, resumption."""

import asyncio
import json
import math
import re

import jsonschema
import pytest

from services.rpc.errors import InvalidArgument, ResourceExhausted, Unavailable
from services.serving.engine import Sampling
from services.serving.formats import regex_format, schema_format

from .conftest import Bench

RANDOM = Sampling(temperature=1.0)
PROMPTS = [[310 + 7 * row + column for column in range(20)] for row in range(8)]


async def test_greedy_answers_do_not_depend_on_company(bench: Bench):
    """A greedy answer is the same alone, again, and among seven others."""
    alone = [await bench.ask(prompt_ids=prompt, tokens_max=40) for prompt in PROMPTS]
    again = await bench.ask(prompt_ids=PROMPTS[0], tokens_max=40)
    together = await asyncio.gather(
        *(bench.ask(prompt_ids=prompt, tokens_max=40) for prompt in PROMPTS)
    )
    assert again.token_ids == alone[0].token_ids
    assert [one.token_ids for one in together] == [one.token_ids for one in alone]


async def test_a_resumed_answer_goes_on_as_if_nothing_had_happened(bench: Bench):
    """Resuming from any of some points gives the undisturbed answer's tokens, positions and text."""
    whole = await bench.ask(prompt_ids=PROMPTS[1], tokens_max=40)
    for cut in (1, 13, 39):
        resumed = await bench.ask(
            prompt_ids=PROMPTS[1], tokens_max=40, resume_ids=whole.token_ids[0][:cut]
        )
        assert resumed.token_ids[0] == whole.token_ids[0][cut:]
        assert whole.texts[0].endswith(resumed.texts[0])
        assert resumed.finished[0].completion_tokens == 40


async def test_a_seed_repeats_among_others(bench: Bench):
    """A seeded answer is the same alone and while others are sampled; another seed differs."""
    alone = await bench.ask(sampling=RANDOM, seed=7, tokens_max=24)
    company = [bench.ask(sampling=RANDOM, seed=seed, tokens_max=24) for seed in (1, 7, 2)]
    found = await asyncio.gather(*company)
    assert found[1].token_ids == alone.token_ids
    assert found[0].token_ids != alone.token_ids


async def test_choices_differ_and_repeat(bench: Bench):
    """Three choices of one seed are three answers, and the same three again."""
    first = await bench.ask(sampling=RANDOM, seed=5, choices=3, tokens_max=16)
    again = await bench.ask(sampling=RANDOM, seed=5, choices=3, tokens_max=16)
    assert first.token_ids == again.token_ids
    assert len({tuple(ids) for ids in first.token_ids.values()}) == 3


async def test_logprobs_are_of_the_sampled_tokens(bench: Bench):
    """Each token has a log probability, and none is above 0 or not a number."""
    answers = await bench.ask(logprobs=True, tokens_max=12)
    assert len(answers.logprobs) == 12
    assert all(value <= 0 and math.isfinite(value) for value in answers.logprobs)


SCHEMAS = [
    {"type": "object", "properties": {"city": {"enum": ["Rome", "Oslo"]}, "hot": {
        "type": "boolean"}}, "required": ["city", "hot"], "additionalProperties": False},
    {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 3},
    {"enum": ["a", 1, None, True]},
    {"$defs": {"n": {"enum": [1, 2]}}, "type": "object", "properties": {"a": {"$ref": "#/$defs/n"}},
     "required": ["a"], "additionalProperties": False},
]  # fmt: skip


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: next(iter(schema)))
async def test_an_answer_keeps_to_its_schema(bench: Bench, schema: dict):
    """A random model's answer, once it ends by itself, is valid for the schema."""
    form = schema_format(json.dumps(schema))
    answers = await bench.ask(
        format=form, tokens_max=600, ignore_end=False, sampling=RANDOM, seed=1
    )
    assert answers.finished[0].reason == "stop"
    jsonschema.validate(json.loads(answers.texts[0]), schema)


@pytest.mark.parametrize("pattern", ["[a-f]{4}", "(yes|no)!?", r"\d{3}-[A-Z]"])
async def test_an_answer_matches_its_expression(bench: Bench, pattern: str):
    """A random model's answer matches the whole expression."""
    answers = await bench.ask(
        format=regex_format(pattern), tokens_max=60, ignore_end=False, sampling=RANDOM, seed=1
    )
    assert re.fullmatch(pattern, answers.texts[0])


async def test_a_full_queue_refuses_at_once(settings):
    """What exceeds the bound is refused with a wait, and what is inside ends."""
    bench = Bench(settings.model_copy(update={"queue_sequences_max": 2}))
    await bench.ready()
    inside = [asyncio.create_task(bench.ask(tokens_max=200)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(ResourceExhausted) as refusal:
        await bench.ask(tokens_max=5)
    assert refusal.value.retry_after_s >= 1
    for answers in await asyncio.gather(*inside):
        assert answers.finished[0].completion_tokens == 200
    await bench.replica.close()


async def test_a_format_that_breaks_the_engine_is_tried_once(bench: Bench):
    """A grammar that gets past our checks costs one restart, and is refused from then on."""
    form = type(regex_format("a"))("root ::= nothing_of_this_name")
    with pytest.raises(Unavailable):
        await bench.ask(format=form, tokens_max=4)
    await bench.ready()
    with pytest.raises(InvalidArgument):
        await bench.ask(format=form, tokens_max=4)
    assert (await bench.ask(tokens_max=4)).finished[0].reason == "length"
    assert bench.replica.engine.restarts == 1
