"""What is counted of each version, for those who judge it: whose fault an end was above all."""

import dataclasses

import pytest

from services.rpc.errors import InvalidArgument, Unavailable
from services.serving.engine import Format
from services.serving.metrics import Counts, counts_of
from tests.unit.serving.reading import rest, run, take


@pytest.fixture
def counted(model):
    """What has been added to the counts since the test began; they outlive tests."""
    counts = counts_of(model.name, model.version)
    before = dataclasses.astuple(counts)

    def since() -> Counts:
        now = dataclasses.astuple(counts)
        return Counts(*(round(a - b, 6) for a, b in zip(now, before, strict=True)))

    return since


async def test_an_answer_counts_with_its_tokens_and_their_times(bench, counted):
    """The first token's time begins at the admission, the others' at the first."""
    bench.script("abc")
    events = bench.ask()
    await take(events)
    for _ in range(4):
        bench.clock.now_s += 2
        bench.engine.step()
        await take(events)
    await rest(events)
    # Three letters and the end.
    assert counted() == Counts(1, 0, 1, 2, 3, 6)


async def test_tokens_that_come_together_are_all_but_one_behind_the_first(bench, counted):
    """An engine may say several at once."""
    bench.script("abc")
    await run(bench, bench.ask())
    found = counted()
    assert (found.first_tokens, found.next_tokens) == (1, 3)


async def test_who_leaves_makes_no_failure(bench, counted):
    """A caller's patience says nothing of a version."""
    events = bench.ask()
    await take(events)
    bench.engine.step()
    await take(events)
    await events.aclose()
    assert (counted().finished, counted().failed) == (0, 0)


async def test_a_dead_engine_fails_each_answer_that_it_had(bench, counted):
    """Two choices are two answers; what waits has not failed."""
    lost, queued = bench.ask(choices=2, tokens_max=3), bench.ask(tokens_max=3)
    await take(lost)
    await take(queued)
    bench.engine.die()
    with pytest.raises(Unavailable):
        await rest(lost)
    assert counted().failed == 2


async def test_a_format_that_no_engine_can_hold_is_its_callers_fault(bench, counted):
    """The others that died with it are not."""
    culprit, beside = bench.ask(format=Format("root ::= bad"), tokens_max=3), bench.ask()
    await take(culprit)
    await take(beside)
    bench.engine.die(culprit=bench.engine.submitted[0].id)
    with pytest.raises(InvalidArgument):
        await rest(culprit)
    with pytest.raises(Unavailable):
        await rest(beside)
    assert counted().failed == 1


async def test_an_unloaded_version_has_not_failed(bench, counted):
    """Somebody wanted it gone."""
    events = bench.ask()
    await take(events)
    bench.generations.abandon()
    with pytest.raises(Unavailable):
        await rest(events)
    assert counted().failed == 0


async def test_a_mistake_of_ours_fails_the_answer(bench, counted, monkeypatch):
    """An answer that cannot be put into words ends by the version's fault."""
    bench.script("abc")
    events = bench.ask()
    await take(events)
    monkeypatch.setattr("services.serving.generation.StopScanner.feed", lambda *_: 1 / 0)
    bench.engine.step()
    with pytest.raises(ZeroDivisionError):
        await rest(events)
    assert counted().failed == 1
