"""What versions have done, added up over replicas. Pure.

A replica counts from zero when it begins, and is seen about once a second: what counts is how much
its numbers have grown since it was seen before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Self

# Replicas come and go under new names; what was not heard of for longest is forgotten.
SEEN_MAX = 512
# The mesh tells times of its steady clock by the wall's, a little differently each time.
JITTER_S = 0.5


@dataclass(frozen=True, slots=True)
class Counts:
    """What a version has done, as parley.mesh.v1.Counts has it. Durations are sums, in seconds."""

    finished: int = 0
    failed: int = 0
    first_tokens: int = 0
    first_token_s: float = 0.0
    next_tokens: int = 0
    next_token_s: float = 0.0

    @property
    def answers(self) -> int:
        """Answers that came to an end, good or bad."""
        return self.finished + self.failed

    @property
    def error_rate(self) -> float:
        """The share of answers that failed, from 0 to 1; 0 without answers."""
        return self.failed / self.answers if self.answers else 0.0

    @property
    def mean_first_token_s(self) -> float:
        """Mean time from admission to the first token; 0 without any."""
        return self.first_token_s / self.first_tokens if self.first_tokens else 0.0

    @property
    def mean_next_token_s(self) -> float:
        """Mean time between two tokens; 0 without any."""
        return self.next_token_s / self.next_tokens if self.next_tokens else 0.0

    def __add__(self, other: Self) -> Self:
        pairs = zip(astuple(self), astuple(other), strict=True)
        return type(self)(*(ours + theirs for ours, theirs in pairs))

    def __sub__(self, other: Self) -> Self:
        pairs = zip(astuple(self), astuple(other), strict=True)
        return type(self)(*(ours - theirs for ours, theirs in pairs))

    def fell_below(self, before: Self) -> bool:
        """Whether a number is lower than before."""
        pairs = zip(astuple(self), astuple(before), strict=True)
        return any(now < then for now, then in pairs)


class Phase(StrEnum):
    """What a replica can do with a version."""

    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Report:
    """What one replica said last of one version of a model; when that was, and when it joined, by
    the mesh's clock."""

    replica: str
    number: int
    phase: Phase
    counts: Counts = Counts()
    detail: str = ""
    time_s: float = 0.0
    join_s: float = 0.0
    # Whether the replica is in the mesh and takes requests: others are only counted.
    present: bool = True


@dataclass(frozen=True, slots=True)
class Seen:
    """A replica's newest numbers of one version, when it said them, and when it had joined."""

    time_s: float
    join_s: float
    counts: Counts

    def growth(self, report: Report) -> Counts | None:
        """What has come since, up to a report; None for one that is no newer.

        Where numbers fell, a replica that has joined anew counts from zero. From one that has not,
        the report is an older one, whatever its time says.
        """
        if report.time_s <= self.time_s:
            return None
        if not report.counts.fell_below(self.counts):
            return report.counts - self.counts
        return report.counts if report.join_s > self.join_s + JITTER_S else None


@dataclass(frozen=True, slots=True)
class Window:
    """What came of two versions since a step began.

    `reference` is the champion's last window that had enough in it, for steps in which the champion
    hardly answers; at first it is all that its replicas have counted. `seen` is by replica and
    version. Times are seconds since the epoch, 0 for never: `seen_s` is that of the last look,
    `ready_s` that of the last one at which some replica had the canary ready.
    """

    champion: Counts = Counts()
    canary: Counts = Counts()
    reference: Counts = Counts()
    seen: Mapping[str, Seen] = field(default_factory=dict)
    seen_s: float = 0.0
    ready_s: float = 0.0

    def anew(self, answers_min: int) -> "Window":
        """The window of the step behind this one; the champion's counts become its reference where
        there are enough of them."""
        enough = self.champion.first_tokens >= answers_min
        reference = self.champion if enough else self.reference
        return replace(self, champion=Counts(), canary=Counts(), reference=reference)


def add(
    window: Window, reports: Sequence[Report], champion: int, canary: int, now_s: float
) -> Window:
    """Adds what has come since the reports before these.

    A replica's first report only says where its numbers begin; of the champion's, those that come
    with the very first look are the reference.
    """
    sums = {champion: window.champion, canary: window.canary}
    reference, seen = window.reference, dict(window.seen)
    is_first = not window.seen_s
    for report in reports:
        if report.number not in sums:
            continue
        key = f"{report.replica}/{report.number}"
        before = seen.get(key)
        if before is None:
            if is_first and report.number == champion:
                reference += report.counts
        else:
            growth = before.growth(report)
            if growth is None:
                # Another process has seen this one already, or a newer one.
                continue
            sums[report.number] += growth
        seen[key] = Seen(report.time_s, report.join_s, report.counts)
    return replace(
        window,
        champion=sums[champion],
        canary=sums[canary],
        reference=reference,
        seen=_newest(seen),
        seen_s=now_s,
    )


def to_window(value: Mapping[str, Any]) -> Window:
    """Reads a window from JSON, as `dataclasses.asdict` wrote it."""
    seen = {
        key: Seen(one["time_s"], one["join_s"], _to_counts(one["counts"]))
        for key, one in value["seen"].items()
    }
    return Window(
        champion=_to_counts(value["champion"]),
        canary=_to_counts(value["canary"]),
        reference=_to_counts(value["reference"]),
        seen=seen,
        seen_s=value["seen_s"],
        ready_s=value["ready_s"],
    )


def _newest(seen: dict[str, Seen]) -> dict[str, Seen]:
    if len(seen) <= SEEN_MAX:
        return seen
    order = sorted(seen.items(), key=lambda pair: pair[1].time_s)
    return dict(order[-SEEN_MAX:])


def _to_counts(value: Mapping[str, Any]) -> Counts:
    return Counts(**{one.name: value[one.name] for one in fields(Counts)})
