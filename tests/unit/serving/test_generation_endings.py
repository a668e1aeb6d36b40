"""Requests that end early: readers that leave, engines that die, sequences that are refused."""

import asyncio

import pytest

from services.rpc.errors import (
    Internal,
    InvalidArgument,
    Unavailable,
)
from services.serving.ask import Finished
from services.serving.engine import Format
from tests.unit.serving.conftest import texts_of
from tests.unit.serving.reading import rest, take

NOTHING = (0, 0, 0, 0)
SMILE = "😀"


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


async def test_a_sequence_that_cannot_be_gone_on_with_may_be_elsewhere(bench):
    """UNAVAILABLE behind its first tokens, so that another replica goes on; the other request does
    too."""
    bench.script("abc", "ok")
    lost, fine = bench.ask(), bench.ask()
    await take(lost)
    await take(fine)
    bench.engine.step()
    assert texts_of(await take(lost)) == "a"
    bench.engine.lose(bench.engine.submitted[0].id)
    with pytest.raises(Unavailable) as loss:
        await take(lost)
    assert loss.value.reason == "CACHE_FULL"
    bench.engine.step(2)
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
