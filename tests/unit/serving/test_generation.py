"""Requests, from the prompt to the last answer's end."""

import asyncio

import pytest

from services.rpc.errors import (
    FailedPrecondition,
    Internal,
    InvalidArgument,
    ResourceExhausted,
    Unavailable,
)
from services.serving.ask import Ask, Delta, Finished, Started
from services.serving.engine import Format, Sampling
from tests.fakes.engine import LOGPROB
from tests.fakes.model import CONTEXT_TOKENS_MAX
from tests.unit.serving.conftest import WAIT_S, texts_of

NOTHING = (0, 0, 0, 0)
SMILE = "😀"


async def take(events, number=1):
    """The next events."""
    async with asyncio.timeout(WAIT_S):
        return [await anext(events) for _ in range(number)]


async def rest(events):
    """All events to the end."""
    async with asyncio.timeout(WAIT_S):
        return [event async for event in events]


async def run(bench, events, steps=50):
    """All events of a request whose engine takes its steps at once after Started."""
    first = await take(events)
    bench.engine.step(steps)
    return first + await rest(events)


async def by_steps(bench, events):
    """All events, with one step before each look."""
    found = await take(events)
    async with asyncio.timeout(WAIT_S):
        while True:
            bench.engine.step()
            try:
                found.append(await anext(events))
            except StopAsyncIteration:
                return found


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


async def test_closing_before_the_first_event_holds_nothing(bench):
    """Nobody asked yet."""
    await bench.ask().aclose()
    assert bench.held == NOTHING


async def test_closing_a_queued_request_gives_its_place_back(bench):
    """The engine never hears of it."""
    busy = bench.ask(choices=2, tokens_max=3)
    queued = bench.ask(tokens_max=3)
    await take(busy)
    await take(queued)
    assert bench.held == (2, 1, 15, 2)
    await queued.aclose()
    assert bench.held == (2, 0, 10, 2)
    assert len(bench.engine.submitted) == 2


@pytest.mark.parametrize("steps", [0, 1, 3])
async def test_closing_in_the_engine_ends_its_work(bench, steps):
    """Before the first token, and in mid-answer, with everything unread or some read."""
    events = bench.ask(choices=2)
    await take(events)
    bench.engine.step(steps)
    if steps == 3:
        await take(events)
    await events.aclose()
    assert bench.held == NOTHING
    assert len(bench.engine.cancelled) == 2


async def test_closing_starts_none_of_the_requests_own_choices(bench):
    """Those that waited behind the others leave first."""
    events = bench.ask(choices=4, tokens_max=3)
    await take(events)
    await events.aclose()
    assert len(bench.engine.submitted) == 2
    assert bench.held == NOTHING


async def test_cancelling_the_reader_gives_everything_back(bench):
    """A task that waits for a token is cancelled, and the next in line starts."""
    events, queued = bench.ask(choices=2, tokens_max=3), bench.ask(tokens_max=3)
    await take(events)
    await take(queued)
    reader = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert bench.held == (1, 0, 5, 1)


async def test_an_unread_end_frees_the_place_at_once(bench):
    """A slow reader holds up nobody."""
    bench.script("a")
    slow = bench.ask(choices=2, tokens_max=2)
    queued = bench.ask(tokens_max=2)
    await take(slow)
    await take(queued)
    bench.engine.step(2)
    assert bench.held[:2] == (1, 0)
    assert texts_of(await rest(slow)).startswith("a")


async def test_an_engines_death_ends_what_it_had_and_keeps_what_waits(bench):
    """In-flight answers fail with what they had read out; queued ones run after the next start."""
    lost = bench.ask(choices=2, tokens_max=3)
    queued = bench.ask(tokens_max=3)
    await take(lost)
    await take(queued)
    bench.engine.step()
    bench.engine.die()
    assert len(await take(lost, 2)) == 2
    with pytest.raises(Unavailable) as death:
        await take(lost)
    assert death.value.reason == "ENGINE_DIED"
    assert death.value.retry_after_s
    assert bench.held == (0, 1, 5, 0)
    bench.script("ok")
    bench.engine.become_ready()
    bench.engine.step(3)
    assert texts_of(await rest(queued)) == "ok"
    assert bench.held == NOTHING


async def test_a_death_after_the_end_does_not_spoil_the_answer(bench):
    """What was complete before is delivered."""
    bench.script("ok")
    events = bench.ask()
    await take(events)
    bench.engine.step(3)
    bench.engine.die()
    *_, finished = await rest(events)
    assert finished.reason == "stop"


async def test_a_complete_choice_does_not_fail_one_that_waits(bench):
    """After a death, an answer that was complete but unread is none of the lost."""
    bench.script("a", "bb", "c")
    other = bench.ask(tokens_max=9)
    await take(other)
    events = bench.ask(choices=2)
    await take(events)
    bench.admission.close()
    bench.engine.step(3)
    bench.engine.die()
    _, ended = await take(events, 2)
    assert (type(ended), ended.choice) == (Finished, 0)
    waiting = asyncio.ensure_future(rest(events))
    await asyncio.sleep(0)
    assert not waiting.done()
    await asyncio.sleep(0)
    assert not waiting.done()
    bench.engine.become_ready()
    bench.engine.step(3)
    assert texts_of(await waiting) == "c"


async def test_what_comes_while_the_engine_is_away_waits(bench):
    """A restart costs time, not requests."""
    bench.engine.die()
    bench.script("ok")
    events = bench.ask()
    await take(events)
    assert bench.engine.submitted == []
    bench.engine.become_ready()
    bench.engine.step(3)
    assert texts_of(await rest(events)) == "ok"


async def test_a_final_death_ends_what_waits(bench):
    """Nobody waits for an engine that keeps dying."""
    bench.engine.die()
    events = bench.ask()
    await take(events)
    bench.engine.die(final=True)
    with pytest.raises(Unavailable):
        await take(events)
    assert bench.held == NOTHING


async def test_a_format_that_broke_the_engine_is_refused_from_then_on(bench):
    """Its own request is told so, others ask again, and it never reaches the engine again."""
    bad, good = Format("root ::= bad"), Format("root ::= good")
    guilty, innocent = bench.ask(format=bad), bench.ask(format=good)
    await take(guilty)
    await take(innocent)
    bench.engine.die(culprit=bench.engine.submitted[0].id)
    bench.engine.become_ready()
    with pytest.raises(InvalidArgument) as blame:
        await take(guilty)
    with pytest.raises(Unavailable):
        await take(innocent)
    with pytest.raises(InvalidArgument) as refusal:
        await take(bench.ask(format=bad))
    assert blame.value.reason == refusal.value.reason == "OUTPUT_FORMAT_INVALID"
    await take(bench.ask(format=good))


async def test_a_sequence_that_the_engine_refuses_fails_alone(bench):
    """The other request goes on."""
    bench.script("no", "ok")
    refused, fine = bench.ask(), bench.ask()
    await take(refused)
    await take(fine)
    bench.engine.refuse(bench.engine.submitted[0].id)
    with pytest.raises(Internal):
        await take(refused)
    bench.engine.step(3)
    assert texts_of(await rest(fine)) == "ok"
    assert bench.held == NOTHING


async def test_times_count_from_admission(bench):
    """Waiting, the first token and the whole, by the clock that was given."""
    busy = bench.ask(choices=2, tokens_max=3)
    await take(busy)
    bench.script("ab")
    events = bench.ask(tokens_max=3)
    await take(events)
    bench.clock.now_s += 2
    await busy.aclose()
    bench.clock.now_s += 1
    bench.engine.step()
    await take(events)
    bench.clock.now_s += 4
    bench.engine.step(2)
    *_, finished = await rest(events)
    assert (finished.queue_s, finished.first_token_s, finished.total_s) == (2, 3, 7)
