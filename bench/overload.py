"""What becomes of the mesh when more is asked than it can do, and how soon it is itself again.

Open loop: requests come at random times, at 1, 2, 3 and 5 times the measured capacity, whether or
not earlier ones are done, and then at 1 again, at the very times of the first level: near the
capacity chance alone makes a queue, and the two are to differ in what came before them only. Only
answers that came whole within a deadline are good: one that nobody waited for any more was work
for nothing. The deadline is what an answer takes where the engine is as full as it may be (p95), a
quarter more, and the longest wait for it. Its clients share the machine with what they measure.
"""

import asyncio
import bisect
import dataclasses
import itertools
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import httpx
from rich.table import Table

from bench.figures import Spread, narrow_table, spread
from bench.in_process import prompt
from bench.streams import HttpTarget
from stack.up import Running

# A replica takes as many into its engine, and has none wait for longer.
FULL_STREAMS, WAIT_S = 64, 5.0
DEADLINE_SLACK = 1.25
PROMPT_TOKENS, TOKENS = 32, 64
CLOSED_S = 15.0
# Of what a full engine gets through in a closed loop: an open loop as fast as that has no steady
# state, since its queue grows with each chance and never shrinks (M/D/1 at a load of 1).
CAPACITY_SHARE = 0.9
OVERLOAD_S = 20.0
USUAL_S = 60.0
STEPS = ((1, USUAL_S), (2, OVERLOAD_S), (3, OVERLOAD_S), (5, OVERLOAD_S), (1, USUAL_S))
# The mesh is itself again when for so long at most one request in a hundred more than at the same
# time of the first level is refused, fails, or takes longer than that level's p99 and a tenth.
BACK_FOR_S = 20.0
BACK_WITHIN = 1.1
WORSE_SHARE = 0.01
REFUSED = (429, 503)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of the open loop. `at_s` counts from the start of its level, others from asking.

    `refused` means a status before the first token; anything else that broke is `failed`.
    """

    at_s: float
    total_s: float
    first_s: float = 0.0
    refused: bool = False
    failed: bool = False
    hinted: bool = False

    def good(self, deadline_s: float) -> bool:
        """Whether it came whole, and in time."""
        return not self.refused and not self.failed and self.total_s <= deadline_s


@dataclass(frozen=True, slots=True)
class Closed:
    """A closed loop: answers a second, and how long each took."""

    per_s: float
    whole_s: list[float]


@dataclass(frozen=True, slots=True)
class Level:
    """One rate, in times of the capacity. All counts are of what was asked for in it, but for
    `goodput_per_s`: the good answers that came in its time, whenever they were asked for. Else the
    first level that fills the queue would seem the best. `hinted` are refusals that said when to
    ask again, in Retry-After."""

    times: float
    asked: int
    good: int
    late: int
    refused: int
    failed: int
    hinted: int
    goodput_per_s: float
    first_token: Spread
    whole: Spread
    refusal: Spread


@dataclass(frozen=True, slots=True)
class Recovery:
    """When the mesh was itself again, from the end of the worst level, and which share of the
    requests from then on fared worse than at that time of the first level after all: near the
    capacity, a machine that becomes slower for seconds shows in them."""

    after_s: float
    worse_share: float


@dataclass(frozen=True, slots=True)
class Overload:
    """All levels, the last of which is the recovery."""

    capacity_per_s: float
    deadline_s: float
    levels: tuple[Level, ...]
    recovery: Recovery | None
    retries: int

    @property
    def kept(self) -> float:
        """Goodput at three times the capacity, as a share of the best of all levels."""
        peak = max(level.goodput_per_s for level in self.levels)
        found = next(level.goodput_per_s for level in self.levels if level.times == 3)
        return round(found / peak, 3) if peak else 0.0

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {**dataclasses.asdict(self), "kept_at_3_times": self.kept}


def arrivals_s(per_s: float, seconds: float) -> list[float]:
    """When requests come: a Poisson process that has just as many as its rate says, the same at
    each call. In seconds from the start."""
    chance = random.Random(0)
    return sorted(chance.uniform(0, seconds) for _ in range(round(per_s * seconds)))


def came(levels: Sequence[tuple[float, Sequence[Asked]]], deadline_s: float) -> list[int]:
    """How many good answers came in the time of each level, of its seconds and its requests."""
    starts_s = [0.0, *itertools.accumulate(seconds for seconds, _ in levels)]
    ends_s = sorted(
        start_s + one.at_s + one.total_s
        for start_s, (_, asked) in zip(starts_s, levels, strict=False)
        for one in asked
        if one.good(deadline_s)
    )
    before = [bisect.bisect_left(ends_s, at_s) for at_s in starts_s]
    return [later - sooner for sooner, later in itertools.pairwise(before)]


def level_of(
    times: float, seconds: float, found: Sequence[Asked], deadline_s: float, good_came: int
) -> Level:
    """What one level came to, in which so many good answers came."""
    whole = [one for one in found if not one.refused and not one.failed]
    refused = [one for one in found if one.refused]
    good = sum(one.good(deadline_s) for one in found)
    return Level(
        times=times,
        asked=len(found),
        good=good,
        late=len(whole) - good,
        refused=len(refused),
        failed=sum(one.failed for one in found),
        hinted=sum(one.hinted for one in refused),
        goodput_per_s=round(good_came / seconds, 2),
        first_token=spread([one.first_s for one in whole]),
        whole=spread([one.total_s for one in whole]),
        refusal=spread([one.total_s for one in refused]),
    )


def recover(before: Sequence[Asked], after: Sequence[Asked]) -> Recovery | None:
    """When the requests of the last level fare as those of the first one; None if never."""
    whole = [one.total_s for one in before if not one.refused and not one.failed]
    bound_s = spread(whole).p99_ms / 1000 * BACK_WITHIN
    poor_before, poor_after = _poor_at_s(before, bound_s), _poor_at_s(after, bound_s)
    starts_s = sorted(one.at_s for one in after)

    def worse_share(from_s: float, to_s: float) -> float:
        more = _count(poor_after, from_s, to_s) - _count(poor_before, from_s, to_s)
        return max(more, 0) / _count(starts_s, from_s, to_s)

    for at_s in starts_s:
        if at_s > starts_s[-1] - BACK_FOR_S:
            break
        if worse_share(at_s, at_s + BACK_FOR_S) <= WORSE_SHARE:
            return Recovery(round(at_s, 1), round(worse_share(at_s, inf), 3))
    return None


def _poor_at_s(found: Sequence[Asked], bound_s: float) -> list[float]:
    return sorted(one.at_s for one in found if one.refused or one.failed or one.total_s > bound_s)


def _count(ranked: Sequence[float], low: float, high: float) -> int:
    return bisect.bisect_left(ranked, high) - bisect.bisect_left(ranked, low)


async def measure(running: Running, model: str, tell: Callable[[str], None]) -> Overload:
    """Runs all of it against one stack with one replica; tells how far it is."""
    target = HttpTarget("127.0.0.1", running.plan.ports.edge, running.api_key, model)
    arrivals = _Arrivals(target)
    tell(f"what a full engine gets through ({CLOSED_S:g} s)")
    full = await arrivals.closed(FULL_STREAMS, CLOSED_S)
    deadline_s = round(spread(full.whole_s).p95_ms / 1000 * DEADLINE_SLACK + WAIT_S, 1)
    capacity_per_s = full.per_s * CAPACITY_SHARE
    before = await _retries(running)
    under_way = []
    for times, seconds in STEPS:
        tell(f"{times:g}x, {times * capacity_per_s:.1f} requests a second ({seconds:g} s)")
        under_way.append(await arrivals.level(times * capacity_per_s, seconds))
    answers = [await asyncio.gather(*tasks) for tasks in under_way]
    counts = came([(s, found) for (_, s), found in zip(STEPS, answers, strict=True)], deadline_s)
    levels = [
        level_of(times, s, found, deadline_s, count)
        for (times, s), found, count in zip(STEPS, answers, counts, strict=True)
    ]
    return Overload(
        capacity_per_s=round(capacity_per_s, 2),
        deadline_s=deadline_s,
        levels=tuple(levels),
        recovery=recover(answers[0], answers[-1]),
        retries=await _retries(running) - before,
    )


class _Arrivals:
    """Requests, no two with the same prompt."""

    def __init__(self, target: HttpTarget) -> None:
        self._target = target
        self._sent = 0

    async def closed(self, streams: int, seconds: float) -> Closed:
        """So many requests at a time, one behind the other."""
        began_s = time.perf_counter()
        whole_s: list[float] = []

        async def one_after_another() -> None:
            while time.perf_counter() - began_s < seconds:
                asked = await self._ask(0)
                if asked.refused or asked.failed:
                    raise SystemExit("parley: a request failed before there was any overload")
                whole_s.append(asked.total_s)

        await asyncio.gather(*(one_after_another() for _ in range(streams)))
        return Closed(len(whole_s) / (time.perf_counter() - began_s), whole_s)

    async def level(self, per_s: float, seconds: float) -> list[asyncio.Task[Asked]]:
        """Asks for so long, and leaves the answers to come."""
        began_s = time.perf_counter()
        tasks = []
        for due_s in arrivals_s(per_s, seconds):
            await asyncio.sleep(began_s + due_s - time.perf_counter())
            tasks.append(asyncio.create_task(self._ask(due_s)))
        await asyncio.sleep(began_s + seconds - time.perf_counter())
        return tasks

    async def _ask(self, at_s: float) -> Asked:
        self._sent += 1
        began_s = time.perf_counter()
        stream = await self._target.stream(prompt(self._sent, PROMPT_TOKENS), TOKENS)
        total_s = time.perf_counter() - began_s
        if stream.status in REFUSED:
            return Asked(at_s, total_s, refused=True, hinted=bool(stream.retry_after))
        if stream.error or not stream.arrivals_s:
            return Asked(at_s, total_s, failed=True)
        return Asked(at_s, total_s, stream.arrivals_s[0] - began_s)


async def _retries(running: Running) -> int:
    """How often the facade has asked again, by its own count."""
    url = f"http://127.0.0.1:{running.plan.ports.gateway_metrics}/metrics"
    async with httpx.AsyncClient() as client:
        lines = (await client.get(url)).text.splitlines()
    name = "parley_gateway_retries_total "
    return int(sum(float(line.removeprefix(name)) for line in lines if line.startswith(name)))


def table(found: Overload) -> Table:
    """The levels for people."""
    shown = narrow_table(
        f"Asked for more than it can do: 1x is {found.capacity_per_s:g} answers a second; "
        f"good is whole within {found.deadline_s:g} s"
    )
    for name in (
        "load",
        "asked",
        "good a\nsecond",
        "late",
        "refused",
        "with\nhint",
        "failed",
        "whole, s\np50/95/99",
        "refusal, ms\np50/95/99",
    ):
        shown.add_column(name, justify="left" if name == "load" else "right")
    for level in found.levels:
        shown.add_row(
            f"{level.times:g}x",
            str(level.asked),
            f"{level.goodput_per_s:g}",
            str(level.late),
            str(level.refused),
            str(level.hinted),
            str(level.failed),
            _three(level.whole, 1000, 1),
            _three(level.refusal, 1, 0),
        )
    shown.caption = (
        f"{found.kept:.0%} of the best goodput at 3x; {found.retries} retries\n"
        f"{_in_words(found.recovery)}"
    )
    return shown


def _in_words(recovery: Recovery | None) -> str:
    if recovery is None:
        return "never as before again"
    return (
        f"as before {recovery.after_s:g} s after the worst; "
        f"{recovery.worse_share:.1%} of the requests from then on fared worse"
    )


def _three(found: Spread, per: float, digits: int) -> str:
    figures = (found.p50_ms, found.p95_ms, found.p99_ms)
    return "/".join(f"{figure / per:.{digits}f}" for figure in figures)
