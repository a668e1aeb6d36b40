"""Requests, from the prompt to the last answer's end."""

import pytest

from services.rpc.errors import (
    FailedPrecondition,
    InvalidArgument,
    ResourceExhausted,
)
from services.serving.ask import Ask, Delta, Finished, Started
from services.serving.engine import Format, Sampling
from tests.fakes.engine import LOGPROB
from tests.fakes.model import CONTEXT_TOKENS_MAX
from tests.unit.serving.conftest import texts_of
from tests.unit.serving.reading import by_steps, rest, run, take

NOTHING = (0, 0, 0, 0)
SMILE = "😀"


async def test_a_whole_answer(bench):
    """Started, a Delta for each step, Finished; then nothing is held."""
    bench.script("hey")
    events = await by_steps(bench, bench.ask(tokens_max=10))
    assert events[0] == Started(prompt_tokens=2, repeatable=False)
    assert [type(event) for event in events[1:]] == [Delta] * 3 + [Finished]
    assert texts_of(events) == "hey"
    assert bench.held == NOTHING


async def test_positions_are_continuous(bench):
    """Each Delta begins where the one before it ended."""
    bench.script(f"a{SMILE}bc")
    deltas = [one for one in await by_steps(bench, bench.ask()) if isinstance(one, Delta)]
    at = 0
    for delta in deltas:
        assert delta.position == at
        at += len(delta.token_ids)
    assert at == len(bench.ids(f"a{SMILE}bc")) + 1


async def test_steps_before_the_reader_looks_become_one_delta(bench):
    """A slow reader gets fewer and larger Deltas, and misses nothing."""
    bench.script("hello world")
    events = await run(bench, bench.ask(logprobs=True))
    assert [type(event) for event in events] == [Started, Delta, Finished]
    assert events[1].text == "hello world"
    assert events[1].token_ids == [*bench.ids("hello world"), bench.model.end_ids[0]]
    assert events[1].logprobs == [LOGPROB] * len(events[1].token_ids)


async def test_choices_sample_with_seeds_that_follow_each_other(bench):
    """Choice i has seed + i, around the end of the range too."""
    await take(bench.ask(seed=2**63 - 1, choices=2))
    seeds = [sequence.sampling.seed for sequence in bench.engine.submitted]
    assert seeds == [2**63 - 1, 0]


async def test_choices_are_told_apart(bench):
    """Each has its own text, positions and Finished."""
    bench.script("one", "second")
    events = await run(bench, bench.ask(choices=2))
    for index, text in enumerate(("one", "second")):
        own = [event for event in events[1:] if event.choice == index]
        assert texts_of(own) == text
        assert [type(event) for event in own] == [Delta, Finished]
        assert own[-1].completion_tokens == len(bench.ids(text)) + 1
    assert bench.held == NOTHING


@pytest.mark.parametrize("wishes", [{"seed": 5}, {"sampling": Sampling(temperature=0)}])
async def test_repeatable_answers_are_called_so(bench, wishes):
    """Greedy ones and those with a seed."""
    (started,) = await take(bench.ask(**wishes))
    assert started.repeatable


async def test_log_probabilities_come_only_when_asked_for(bench):
    """One for each token, or none."""
    bench.script("ab", "ab")
    for wanted in (True, False):
        events = await by_steps(bench, bench.ask(logprobs=wanted))
        found = [event.logprobs for event in events if isinstance(event, Delta)]
        assert found == [[LOGPROB] * wanted] * 3


async def test_the_models_end_is_a_stop(bench):
    """Without a stop string."""
    bench.script("ab")
    *_, finished = await run(bench, bench.ask())
    assert (finished.reason, finished.stop_string) == ("stop", "")


async def test_the_bound_on_tokens_is_a_length(bench):
    """The answer has exactly as many as asked for."""
    *events, finished = await run(bench, bench.ask(tokens_max=3))
    assert finished.reason == "length"
    assert finished.completion_tokens == 3
    assert len(events[1].token_ids) == 3


async def test_the_default_bound_is_what_the_context_leaves(bench):
    """Prompt and answer fill it."""
    await take(bench.ask("xyz"))
    assert bench.engine.submitted[0].tokens_max == CONTEXT_TOKENS_MAX - 3


async def test_ignoring_the_end_goes_on_past_it(bench):
    """The engine is given no end tokens."""
    bench.script("ab")
    await take(bench.ask(ignore_end=True))
    assert bench.engine.submitted[0].end_ids == ()


@pytest.mark.parametrize("look", [run, by_steps])
async def test_a_stop_string_over_several_tokens_is_hidden_and_ends_the_engines_work(bench, look):
    """However the reader's speed cuts the tokens, text and count are the same."""
    bench.script("ab STOP and more", end=False)
    *events, finished = await look(bench, bench.ask(stop_strings=["STOP"]))
    assert texts_of(events) == "ab "
    assert (finished.reason, finished.stop_string) == ("stop", "STOP")
    assert finished.completion_tokens == len(bench.ids("ab STOP"))
    assert bench.engine.cancelled == [bench.engine.submitted[0].id]
    assert bench.held == NOTHING


async def test_what_was_held_back_for_a_stop_string_shows_at_the_end(bench):
    """Half a stop string is text."""
    bench.script("ab ST")
    events = await by_steps(bench, bench.ask(stop_strings=["STOP"]))
    assert texts_of(events) == "ab ST"


async def test_a_stopped_choice_ends_once_though_the_engine_was_ahead(bench):
    """Tokens sampled while the last Delta is being sent are dropped, and the other goes on."""
    bench.script("a!zzz", "bbbb")
    events = bench.ask(choices=2, stop_strings=["!"])
    await take(events)
    bench.engine.step(2)
    (delta,) = await take(events)
    assert (delta.choice, delta.text) == (0, "a")
    bench.engine.step()
    ended = await take(events)
    bench.engine.step(9)
    rested = ended + await rest(events)
    assert [one.choice for one in rested if isinstance(one, Finished)] == [0, 1]
    assert texts_of([one for one in rested if one.choice == 1]) == "bbbb"
    assert [type(one) for one in rested if one.choice == 0] == [Finished]
    assert bench.held == NOTHING


async def test_a_stop_of_a_later_choice_in_the_same_look_ends_it_once(bench):
    """The same, where its extra tokens come while another choice's Delta is being sent."""
    bench.script("aaaa", "b!zzz")
    events = bench.ask(choices=2, stop_strings=["!"])
    await take(events)
    bench.engine.step(2)
    await take(events)
    bench.engine.step()
    ended = await take(events, 2)
    bench.engine.step(9)
    rested = ended + await rest(events)
    assert [one.choice for one in rested if isinstance(one, Finished)] == [1, 0]
    assert [type(one) for one in rested if one.choice == 1] == [Delta, Finished]


@pytest.mark.parametrize("cut", range(1, 12))
async def test_a_resumed_answer_goes_on_exactly(bench, cut):
    """Cut anywhere, in a character or in half a stop string: positions and text join."""
    text = f"a{SMILE} ST{SMILE}b"
    whole = bench.ids(text)
    assert cut < len(whole)
    bench.script(text)
    before = []
    first = bench.ask(stop_strings=["STOP"])
    await take(first)
    for _ in range(cut):
        bench.engine.step()
        before += await take(first)
    await first.aclose()
    bench.engine.script([*whole[cut:], bench.model.end_ids[0]])
    resumed = bench.ask(stop_strings=["STOP"], resume_ids=whole[:cut], tokens_max=40)
    after = await by_steps(bench, resumed)
    assert texts_of(before) + texts_of(after) == text
    assert after[1].position == cut
    assert after[0].prompt_tokens == 2
    assert after[-1].completion_tokens == len(whole) + 1
    assert bench.engine.submitted[-1].prompt_ids == [*bench.ids("hi"), *whole[:cut]]
    assert bench.engine.submitted[-1].tokens_max == 40 - cut


async def test_a_stop_string_that_began_before_the_break_is_found_after_it(bench):
    """Its first half was held back and stays hidden."""
    bench.script("OP more")
    events = bench.ask(stop_strings=["STOP"], resume_ids=bench.ids("ab ST"))
    *rested, finished = await run(bench, events)
    assert texts_of(rested) == ""
    assert finished.stop_string == "STOP"


@pytest.mark.parametrize(
    ("said", "wishes", "reason", "stop"),
    [
        ("abc", {"tokens_max": 3}, "length", ""),
        ("ab!", {"stop_strings": ["!"]}, "stop", "!"),
        ("ab<end>", {}, "stop", ""),
    ],
)
async def test_an_answer_that_had_ended_is_only_finished(bench, said, wishes, reason, stop):
    """Resuming one asks the engine for nothing."""
    text = said.removesuffix("<end>")
    ids = bench.ids(text) + [bench.model.end_ids[0]] * (text != said)
    started, finished = await rest(bench.ask(resume_ids=ids, **wishes))
    assert isinstance(started, Started)
    assert (finished.reason, finished.stop_string) == (reason, stop)
    assert finished.completion_tokens == 3
    assert bench.engine.submitted == []


@pytest.mark.parametrize(
    ("wishes", "kind", "reason"),
    [
        ({"tokens_max": CONTEXT_TOKENS_MAX - 1}, InvalidArgument, "CONTEXT_LENGTH_EXCEEDED"),
        ({"prompt": "x" * CONTEXT_TOKENS_MAX}, InvalidArgument, "CONTEXT_LENGTH_EXCEEDED"),
        ({"resume_ids": [10**6]}, InvalidArgument, "INVALID_FIELD"),
        ({"format": Format("root ::= x"), "ignore_end": True}, InvalidArgument, "INVALID_FIELD"),
        ({"resume_ids": [1], "choices": 2}, FailedPrecondition, "RESUME_UNSUPPORTED"),
        ({"resume_ids": [1], "format": Format("x")}, FailedPrecondition, "RESUME_UNSUPPORTED"),
        (
            {"resume_ids": [1], "sampling": Sampling(presence_penalty=1)},
            FailedPrecondition,
            "RESUME_UNSUPPORTED",
        ),
    ],
)
async def test_what_cannot_be_asked_is_refused_before_anything_is_held(bench, wishes, kind, reason):
    """Each with its reason."""
    with pytest.raises(kind) as refusal:
        await take(bench.ask(**wishes))
    assert refusal.value.reason == reason
    assert bench.held == NOTHING


async def test_the_whole_context_may_be_used(bench):
    """Exactly to its end."""
    (started,) = await take(bench.ask(tokens_max=CONTEXT_TOKENS_MAX - 2))
    assert started.prompt_tokens == 2


async def test_prompt_ids_beyond_the_vocabulary_are_refused(bench):
    """They would read past the model's weights."""
    ask = Ask([bench.model.vocabulary_size], Sampling())
    with pytest.raises(InvalidArgument) as refusal:
        await take(bench.generations.generate(ask))
    assert refusal.value.metadata["field"] == "tokens.ids"


async def test_a_full_queue_refuses_and_holds_nothing_of_it(bench):
    """Those who wait are not disturbed."""
    kept = [bench.ask(tokens_max=3) for _ in range(4)]
    for events in kept:
        await take(events)
    before = bench.held
    with pytest.raises(ResourceExhausted) as refusal:
        await take(bench.ask(tokens_max=3))
    assert refusal.value.reason == "QUEUE_FULL"
    assert bench.held == before == (2, 2, 20, 2)
