"""Percentiles of what was measured, and the tables that show them. Pure."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich import box
from rich.table import Table

from bench.streams import Stream

Round = tuple[float, list[Stream]]
"""Seconds, and the streams that were answered in them."""


@dataclass(frozen=True, slots=True)
class Spread:
    """p50, p95 and p99 in milliseconds."""

    p50_ms: float
    p95_ms: float
    p99_ms: float

    def __str__(self) -> str:
        return f"{self.p50_ms:.1f} / {self.p95_ms:.1f} / {self.p99_ms:.1f}"


def spread(seconds: Sequence[float]) -> Spread:
    """The spread of some durations (nearest rank); all zero when there are none."""
    ranked = sorted(seconds)
    if not ranked:
        return Spread(0, 0, 0)
    at = [ranked[min(int(share * len(ranked)), len(ranked) - 1)] for share in (0.5, 0.95, 0.99)]
    return Spread(*(round(value * 1000, 2) for value in at))


@dataclass(frozen=True, slots=True)
class Row:
    """One way of serving at one number of streams: the median round, and all rounds' latencies.

    `ratio` is the median of the rounds' own, each against the round of the base beside it: so it
    holds on a machine whose speed changes meanwhile. `cost_us` is the processor time of the mesh's
    parts in microseconds a token.
    """

    what: str
    streams: int
    tokens_per_s: float
    ratio: float
    first_token: Spread | None = None
    inter_token: Spread | None = None
    errors: int = 0
    cost_us: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Soak:
    """Clients that left at random; pairs are before and after. The engine's memory grows until it
    has touched its whole key-value cache once (1 GiB by default), and not beyond."""

    requests: int
    seconds: float
    replica_mib: tuple[int, int]
    engine_mib: tuple[int, int]
    files: tuple[int, int]
    engine_restarts: int


@dataclass(frozen=True, slots=True)
class Faults:
    """What was found. Times are from the event to what it names."""

    slot_free: Spread
    slot_free_ms_max: float
    engine_back_s: float
    replica_back_s: float
    soak: Soak


@dataclass(frozen=True, slots=True)
class Failover:
    """Kills of one of two replicas under streams: how many streams there were, broke, and moved;
    `stall` is the longest wait between two pieces of one that moved."""

    kills: int
    streams: int
    broken: int
    migrations: int
    stall: Spread


@dataclass(frozen=True, slots=True)
class Outage:
    """A store that was stopped while people chatted. `refused_s_max` is the longest that a call of
    the registry which needed it took to say UNAVAILABLE, `back_s` from its start to all well."""

    store: str
    seconds: float
    chats: int
    failed: int
    refusals: int
    refused_s_max: float
    back_s: float


@dataclass(frozen=True, slots=True)
class Deployment:
    """A promotion and a rollback under 32 streams: seconds from the call to the first token of the
    version that takes over, and how many of the streams failed; then each store's outage."""

    promote_s: float
    rollback_s: float
    streams: int
    failed: int
    outages: tuple[Outage, ...]


def row(what: str, streams: int, rounds: Sequence[Round], base: Sequence[Round] = ()) -> Row:
    """Sums rounds up; those of `base`, made beside them, are what a ratio of 1 stands for."""
    speeds = _speeds(rounds)
    ratios = [a / b for a, b in zip(speeds, _speeds(base), strict=True)] if base else [0.0]
    good = [s for _, found in rounds for s in found if not s.error and s.arrivals_s]
    return Row(
        what,
        streams,
        round(statistics.median(speeds), 1),
        round(statistics.median(ratios), 3),
        spread([s.first_s for s in good]),
        spread([gap for s in good for gap in s.gaps_s]),
        sum(bool(s.error) for _, found in rounds for s in found),
    )


def _speeds(rounds: Sequence[Round]) -> list[float]:
    return [sum(s.tokens for s in found) / seconds for seconds, found in rounds]


def narrow_table(title: str) -> Table:
    """An empty table whose many columns find room in 80 characters."""
    return Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)


def throughput_table(rows: Sequence[Row]) -> Table:
    """The rows as a table for people."""
    table = narrow_table("Tokens per second, same model, rounds taken in turn")
    for name in (
        "",
        "streams",
        "tokens/s",
        "ratio",
        "first token ms\np50 / p95 / p99",
        "between tokens ms\np50 / p95 / p99",
        "errors",
    ):
        table.add_column(name, justify="left" if not name else "right")
    for r in rows:
        table.add_row(
            r.what,
            str(r.streams),
            f"{r.tokens_per_s:,.0f}",
            f"{r.ratio:.2f}",
            str(r.first_token or "-"),
            str(r.inter_token or "-"),
            str(r.errors),
        )
    costs = [
        f"{r.streams} streams: "
        + ", ".join(f"{part} {cost_us:.0f}" for part, cost_us in r.cost_us.items())
        for r in rows
        if r.cost_us
    ]
    table.caption = "\n".join(["Processor time a token, microseconds", *costs])
    return table


def overhead_table(found: dict[str, dict[str, Spread]]) -> Table:
    """What each way adds to the direct one, in milliseconds."""
    table = Table(title="Overhead over a direct gRPC call, against a paced engine, one stream")
    for name in (
        "",
        "first token ms\np50 / p95 / p99",
        "between tokens ms\np50 / p95 / p99",
        "added to first token p50 / p99",
        "added between tokens p50 / p99",
    ):
        table.add_column(name, justify="left" if not name else "right")
    base = next(iter(found.values()))
    for way, spreads in found.items():
        added = [
            f"{spreads[k].p50_ms - base[k].p50_ms:+.2f} / {spreads[k].p99_ms - base[k].p99_ms:+.2f}"
            for k in ("first_token", "inter_token")
        ]
        table.add_row(way, str(spreads["first_token"]), str(spreads["inter_token"]), *added)
    return table


def faults_table(found: Faults, failover: Failover) -> Table:
    """What leaving clients and dying processes cost."""
    soak = found.soak
    table = Table(title="Leaving and dying, one replica; the last two with two", show_header=False)
    for name, value in (
        ("slot free after a client left at token 5, ms p50 / p95 / p99", str(found.slot_free)),
        ("the same, longest", f"{found.slot_free_ms_max:.0f} ms"),
        ("a new answer after kill -9 of the engine", f"{found.engine_back_s:.2f} s"),
        ("a new answer after kill -9 of the replica", f"{found.replica_back_s:.2f} s"),
        ("requests left at random in the soak", f"{soak.requests} in {soak.seconds:g} s"),
        ("engine restarts in the soak", str(soak.engine_restarts)),
        ("the replica's memory, before and after", "{} / {} MiB".format(*soak.replica_mib)),
        ("the engine's, with its cache filling up", "{} / {} MiB".format(*soak.engine_mib)),
        ("open files, before and after", "{} / {}".format(*soak.files)),
        (
            f"streams under {failover.kills} kills of a replica",
            f"{failover.streams}, {failover.broken} broken, {failover.migrations} migrations",
        ),
        ("longest wait in a stream that migrated, ms p50 / p95 / p99", str(failover.stall)),
    ):
        table.add_row(name, value)
    return table


def deployment_table(found: Deployment) -> Table:
    """What promotions cost, and what outages do."""
    table = Table(title="Promotion under 32 streams, and stores that are away", show_header=False)
    table.add_row("promotion, to the new version's first token", f"{found.promote_s:.2f} s")
    table.add_row("rollback, to the old version's first token", f"{found.rollback_s:.2f} s")
    table.add_row("streams, and failed ones", f"{found.streams}, {found.failed}")
    for one in found.outages:
        table.add_row(
            f"{one.store} stopped for {one.seconds:g} s",
            f"{one.chats} chats, {one.failed} failed; {one.refusals} refusals within "
            f"{one.refused_s_max:.2f} s; well again {one.back_s:.1f} s after its start",
        )
    return table


def to_json(
    rows: Sequence[Row],
    overhead: dict[str, dict[str, Spread]],
    faults: Faults | None,
    failover: Failover | None,
) -> dict[str, Any]:
    """Everything as JSON values."""
    return {
        "faults": asdict(faults) if faults else None,
        "failover": asdict(failover) if failover else None,
        "throughput": [asdict(r) for r in rows],
        "overhead": {
            way: {k: asdict(v) for k, v in spreads.items()} for way, spreads in overhead.items()
        },
    }
