"""What a history proves: which streams broke, and how long people waited. Pure.

Reads nothing but the history. A stream is right when it is what the undisturbed stack said.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.chaos.history import History, Run, Struck, Told
from bench.chaos.schedule import BREAKING, Fault
from bench.chaos.workload import SAMPLED
from bench.figures import Spread, spread

# What the reliability of a stack is measured by. The facade calls it silence after 4.5 s; the rest
# is for its clock and for a busy machine.
NOTICED_S_MAX = 5.0
# For streams whose replica was seen to be gone; a silent one costs the silence as well.
STALL_P99_MS_MAX = 5000.0
SILENT_FAULTS = frozenset({Fault.STOP, Fault.BLACKHOLE})
WELL_S_MAX = 60.0
SILENT = "REPLICA_SILENT"
COMPLAINTS_MAX = 20
BROKEN, GAP, REPEAT, OTHER = "broken", "a gap", "a repeat", "another answer"


@dataclass(frozen=True, slots=True)
class Waits:
    """Some waits in milliseconds: p50, p95, p99 and the longest."""

    spread: Spread
    longest_ms: float

    def __str__(self) -> str:
        return f"{self.spread} / {self.longest_ms:.0f}"


@dataclass(frozen=True, slots=True)
class OfFault:
    """What one kind of fault did. Seconds are the longest of all its blows, None where nothing
    showed.

    `noticed_s` is from the blow to the first migration, `silent_s` to the last one that silence
    caused, `out_s` to Envoy calling one replica less, `back_s` from the fault's end to all well.
    """

    fault: str
    blows: int
    migrated: int
    migrations: int
    stall: Waits
    noticed_s: float | None
    silent_s: float | None
    out_s: float | None
    back_s: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """Everything. `excused` streams were cut by a fault that no server can hide from its client.

    `flipped` ones were sampled, met no fault, and went another way all the same: a sum of floats
    depends in its last bits on what else is in the batch, and now and then a draw lies just there
    (one of 27 questions in 120,000 tokens; of greedy ones none in 590,000).
    """

    run: Run
    streams: int
    tokens: int
    broken: int
    gaps: int
    repeats: int
    different: int
    excused: int
    migrated: int
    migrations: int
    unwanted: int
    stall: Waits
    stall_all: Waits
    first_token: Waits
    faults: tuple[OfFault, ...]
    complaints: tuple[str, ...]
    flipped: int = 0

    @property
    def holds(self) -> bool:
        """Whether all promises were kept."""
        return not self.complaints

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {"holds": self.holds, **asdict(self)}


def examine(history: History) -> Report:
    """Checks a whole history."""
    right = {told.question: told for told in history.told if told.undisturbed}
    asked = [told for told in history.told if not told.undisturbed]
    faults = {id(told): faults_of(told, history.struck) for told in asked}
    wrong, complaints = dict.fromkeys((BROKEN, GAP, REPEAT, OTHER), 0), []
    excused = flipped = unwanted = 0
    for told in asked:
        kinds = {struck.fault for struck in faults[id(told)]}
        fault = compare(told, right.get(told.question))
        if fault == BROKEN and kinds & BREAKING:
            excused += 1
        elif fault == OTHER and told.kind in SAMPLED and not told.migrations:
            flipped += 1
        elif fault:
            wrong[fault] += 1
            complaints.append(f"{_name(told)}: {fault}; {told.error or 'no error was told'}")
        if _is_unwanted(told, kinds, history.run.drain_s):
            unwanted += 1
            complaints.append(f"{_name(told)}: migrated, though its replica was only draining")
    moved = [told for told in asked if told.migrations]
    by_fault = tuple(
        _of_fault(kind, history, [told for told in moved if _cause(told, faults) == kind])
        for kind in sorted({struck.fault for struck in history.struck})
    )
    complaints += _late(by_fault, history.struck)
    complaints += [f"question {n}: {w}" for n, t in right.items() if (w := compare(t, t))]
    if not asked:
        complaints.append("no stream ended while faults struck")
    return Report(
        history.run,
        len(asked),
        sum(told.usage or 0 for told in asked),
        wrong[BROKEN],
        wrong[GAP],
        wrong[REPEAT],
        wrong[OTHER],
        excused,
        len(moved),
        sum(told.migrations for told in moved),
        unwanted,
        _waits([told.stall_s for told in moved]),
        _waits([told.stall_s for told in asked]),
        _waits([told.first_s for told in asked if told.first_s is not None]),
        by_fault,
        tuple(complaints[:COMPLAINTS_MAX]),
        flipped,
    )


def compare(told: Told, right: Told | None) -> str:
    """What is wrong with a stream; empty when nothing is."""
    if told.error or not told.done or not told.finishes or not all(told.finishes):
        return BROKEN
    if right is None or told.ids != 1 or len(told.texts) != len(right.texts):
        return OTHER
    for found, wanted in zip(told.texts, right.texts, strict=True):
        if difference := differ(found, wanted):
            return difference
    same = (told.finishes, told.usage, told.tokens) == (right.finishes, right.usage, right.tokens)
    return "" if same else OTHER


def differ(found: str, wanted: str) -> str:
    """How a text differs from the right one: a piece is missing, one came twice, or neither."""
    if found == wanted:
        return ""
    if _lacks_a_piece(found, wanted):
        return GAP
    return REPEAT if _has_a_piece_twice(found, wanted) else OTHER


def faults_of(told: Told, struck: Sequence[Struck]) -> list[Struck]:
    """The faults under which a stream ran: from the blow until all was well again."""
    return [
        one
        for one in struck
        if told.sent_s <= (max(one.lifted_s, one.well_s or told.sent_s))
        and told.ended_s >= one.at_s
    ]


def _lacks_a_piece(found: str, wanted: str) -> bool:
    missing = len(wanted) - len(found)
    return missing > 0 and found[_same(found, wanted) :] == wanted[_same(found, wanted) + missing :]


def _has_a_piece_twice(found: str, wanted: str) -> bool:
    more = len(found) - len(wanted)
    if not _lacks_a_piece(wanted, found):
        return False
    # Where the text goes on as the piece did, the piece that came twice may begin later as well.
    last = _same(wanted, found)
    return last >= more and found[last : last + more] == found[last - more : last]


def _same(one: str, other: str) -> int:
    """How many characters are the same at the beginning."""
    for at, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return at
    return min(len(one), len(other))


def _is_unwanted(told: Told, kinds: set[str], drain_s: float) -> bool:
    """A drain lets streams end that are shorter than it."""
    return bool(told.migrations) and kinds <= {Fault.TERM} and told.ended_s - told.sent_s < drain_s


def _cause(told: Told, faults: dict[int, list[Struck]]) -> str:
    """The fault that made a stream migrate: the last that struck before its longest wait ended."""
    before = [one for one in faults[id(told)] if one.at_s <= told.stall_at_s + told.stall_s]
    return before[-1].fault if before else ""


def _of_fault(kind: str, history: History, moved: Sequence[Told]) -> OfFault:
    blows = [struck for struck in history.struck if struck.fault == kind]
    noticed, silent, out, back = [], [], [], []
    for struck in blows:
        following = [one.at_s for one in history.struck if one.at_s > struck.at_s]
        until_s = min(following, default=float("inf"))
        after = [one for one in history.noticed if struck.at_s <= one.at_s < until_s]
        noticed += [one.at_s - struck.at_s for one in after[:1]]
        silent += [one.at_s - struck.at_s for one in after if one.reason == SILENT][-1:]
        less = [
            one.at_s - struck.at_s
            for one in history.rotation
            if struck.at_s <= one.at_s < until_s and one.healthy < history.run.replicas
        ]
        out += less[:1]
        if struck.well_s is not None:
            back.append(struck.well_s - struck.lifted_s)
    return OfFault(
        kind,
        len(blows),
        len(moved),
        sum(told.migrations for told in moved),
        _waits([told.stall_s for told in moved]),
        *(_longest(found) for found in (noticed, silent, out, back)),
    )


def _late(faults: Sequence[OfFault], struck: Sequence[Struck]) -> list[str]:
    """Complaints about what took too long."""
    complaints = [
        f"{one.fault}: a silent replica was noticed after {one.silent_s:.1f} s only"
        for one in faults
        if one.silent_s is not None and one.silent_s > NOTICED_S_MAX
    ]
    complaints += [
        f"{one.fault}: one stream in a hundred waited for {one.stall.spread.p99_ms / 1000:.1f} s"
        for one in faults
        if one.fault not in SILENT_FAULTS and one.stall.spread.p99_ms > STALL_P99_MS_MAX
    ]
    for one in struck:
        if one.well_s is None or one.well_s - one.lifted_s > WELL_S_MAX:
            complaints.append(
                f"{one.fault} of {one.program} at {one.at_s:.0f} s: not well within "
                f"{WELL_S_MAX:.0f} s"
            )
    return complaints


def _waits(seconds: Sequence[float]) -> Waits:
    return Waits(spread(seconds), round(max(seconds, default=0.0) * 1000, 1))


def _longest(seconds: Sequence[float]) -> float | None:
    return round(max(seconds), 2) if seconds else None


def _name(told: Told) -> str:
    return f"question {told.question} ({told.kind}) at {told.sent_s:.1f} to {told.ended_s:.1f} s"
