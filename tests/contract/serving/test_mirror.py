"""Copies of requests for a version that nobody hears yet."""

from collections.abc import Callable

import pytest
from prometheus_client import REGISTRY

from tests.contract.serving.fleet import SERVING, Fleet
from tests.contract.serving.server import until
from tests.contract.serving.test_servicer import remaining
from tests.fakes.source import key, table


def mirrored(outcome: str, number: int = 2) -> float:
    """How many copies had that outcome."""
    labels = {"model": "tiny", "version": str(number), "outcome": outcome}
    return REGISTRY.get_sample_value("parley_mirrored_requests_total", labels) or 0.0


@pytest.fixture
async def mirroring(fleet) -> Fleet:
    """Version 1 answers, and 2 gets copies."""
    fleet.source.tell(table({1: 100}, mirror=2))
    await fleet.bring(1, 2)
    return fleet


async def settled(count: Callable[[], float], before: float) -> None:
    """Waits until one more is counted."""
    await until(lambda: count() == before + 1)


async def test_the_mirror_gets_a_copy_whose_answer_nobody_sees(mirroring):
    """The same prompt; the caller hears the original alone."""
    before = mirrored("done")
    call, started = await mirroring.started()
    assert started.version == "1"
    await until(lambda: mirroring.engine(2).submitted)
    (original,), (copy,) = (mirroring.engine(number).submitted for number in (1, 2))
    assert (copy.prompt_ids, copy.tokens_max) == (original.prompt_ids, original.tokens_max)
    mirroring.engine(2).step(3)
    await settled(lambda: mirrored("done"), before)
    mirroring.engine(1).step(3)
    events = await remaining(call)
    assert sum(len(event.delta.token_ids) for event in events) == 3
    await until(lambda: mirroring.serving.idle)


async def test_a_mirror_that_fails_does_not_show(mirroring):
    """The original goes on; the failure is counted."""
    before = mirrored("failed")
    call, _ = await mirroring.started()
    await until(lambda: mirroring.engine(2).submitted)
    mirroring.engine(2).die()
    await settled(lambda: mirrored("failed"), before)
    mirroring.engine(1).step(3)
    assert (await remaining(call))[-1].HasField("finished")
    assert await mirroring.health() == SERVING


async def test_a_busy_mirror_gets_no_copy(mirroring):
    """Nothing queues up behind it."""
    before = mirrored("skipped")
    filling = mirroring.serving.generate(model="tiny@2", choices=3)
    await filling.read()
    await mirroring.started()
    await settled(lambda: mirrored("skipped"), before)
    assert len(mirroring.engine(2).submitted) == 2
    filling.cancel()


async def test_what_names_its_version_is_not_mirrored(mirroring):
    """Only a share of the traffic is."""
    assert await mirroring.version("tiny@1") == "1"
    assert await mirroring.version("tiny@champion") == "1"
    assert not mirroring.engine(2).submitted


async def test_a_mirror_that_is_to_go_is_not_held_up_by_its_copies(mirroring):
    """A copy ends at its next token then."""
    call, _ = await mirroring.started()
    await until(lambda: mirroring.engine(2).submitted)
    mirroring.source.tell(table({1: 100}, revision=2))
    await until(lambda: mirroring.serving.replica.versions[key(2)].draining)
    mirroring.engine(2).step()
    await until(lambda: not mirroring.has(2))
    call.cancel()
