"""What becomes of the mesh when more is asked than it can do, and how soon it is itself again.

Open loop: requests come by a Poisson process at 1, 2, 3 and 5 times the measured capacity, whether
or not earlier ones are done, and then at 1 again. Only answers that came whole within a deadline
are good: one that nobody waited for any more was work for nothing. The deadline is what an answer
takes where the engine is as full as it may be (p95), a quarter more, and the longest wait for it.
Its clients share the machine with what they measure.
"""

import asyncio
import bisect
import dataclasses
import itertools
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
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
CLOSED_STREAMS = 32
CLOSED_S = 15.0
TIMES = (1, 2, 3, 5)
LEVEL_S = 20.0
RECOVERY_S = 60.0
# Of the usual p99, which is what the first level showed; one answer in a hundred may be slower.
BACK_WITHIN = 1.1
SLOWER_SHARE = 0.01
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
class Overload:
    """All levels, the last of which is the recovery. `recovery_s` counts from the end of the worst
    level until requests fare as in the first one; None where they never did."""

    capacity_per_s: float
    deadline_s: float
    levels: tuple[Level, ...]
    recovery_s: float | None
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


def recovered_after_s(usual_p99_s: float, found: Sequence[Asked]) -> float | None:
    """From when on, in seconds from the start of the last level, at most one request in a hundred
    is refused, fails, or takes longer than the usual p99 and a tenth; None if never."""
    ranked = sorted(found, key=lambda one: one.at_s)
    slow = [one.refused or one.failed or one.total_s > usual_p99_s * BACK_WITHIN for one in ranked]
    left = sum(slow)
    for index, is_slow in enumerate(slow):
        if left <= SLOWER_SHARE * (len(slow) - index):
            return round(ranked[index].at_s, 1)
        left -= is_slow
    return None


async def measure(running: Running, model: str) -> Overload:
    """Runs all of it against one stack with one replica."""
    target = HttpTarget("127.0.0.1", running.plan.ports.edge, running.api_key, model)
    arrivals = _Arrivals(target)
    full = await arrivals.closed(FULL_STREAMS, CLOSED_S)
    deadline_s = round(spread(full.whole_s).p95_ms / 1000 * DEADLINE_SLACK + WAIT_S, 1)
    capacity_per_s = (await arrivals.closed(CLOSED_STREAMS, CLOSED_S)).per_s
    before = await _retries(running)
    steps = [*((times, LEVEL_S) for times in TIMES), (1, RECOVERY_S)]
    under_way = [await arrivals.level(times * capacity_per_s, s) for times, s in steps]
    answers = [await asyncio.gather(*tasks) for tasks in under_way]
    counts = came([(s, found) for (_, s), found in zip(steps, answers, strict=True)], deadline_s)
    levels = [
        level_of(times, s, found, deadline_s, count)
        for (times, s), found, count in zip(steps, answers, counts, strict=True)
    ]
    return Overload(
        capacity_per_s=round(capacity_per_s, 2),
        deadline_s=deadline_s,
        levels=tuple(levels),
        recovery_s=recovered_after_s(levels[0].whole.p99_ms / 1000, answers[-1]),
        retries=await _retries(running) - before,
    )


class _Arrivals:
    """Requests, no two with the same prompt."""

    def __init__(self, target: HttpTarget) -> None:
        self._target = target
        self._chance = random.Random(0)
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
        due_s = 0.0
        while (due_s := due_s + self._chance.expovariate(per_s)) < seconds:
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
    back = "never" if found.recovery_s is None else f"after {found.recovery_s:g} s"
    shown.caption = (
        f"{found.kept:.0%} of the best goodput at 3x; as before {back}; {found.retries} retries"
    )
    return shown


def _three(found: Spread, per: float, digits: int) -> str:
    figures = (found.p50_ms, found.p95_ms, found.p99_ms)
    return "/".join(f"{figure / per:.{digits}f}" for figure in figures)
