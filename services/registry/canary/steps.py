"""A canary from step to step: what it is, and what comes next. Pure.

A step ends well when its time has passed and the version holds against the champion. It goes on
past its time while there are too few answers to judge by: for `Limits.idle_s` at most. Then the
few are taken for what they are: with some and none failed the canary goes on, since a larger share
brings more; with none at all it is rolled back, since nothing is known of the version.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from itertools import pairwise
from typing import Any

from services.registry.canary.figures import Phase, Report, Window, add, to_window
from services.registry.canary.judging import Judgement, Limits, Verdict, judge
from services.rpc.errors import InvalidArgument

WHOLE = 100
STEP_DURATION_S = 60.0


@dataclass(frozen=True, slots=True)
class Canary:
    """A promotion in steps, each the version's share in percent.

    `step` counts from 0; `step_s` is when it began, in seconds since the epoch, 0 before that.
    `verdict` and `evidence` say how the version did at the last look. `mirror` is the version that
    was mirrored to before it, 0 for none.
    """

    steps: tuple[int, ...]
    step_duration_s: float = STEP_DURATION_S
    step: int = 0
    step_s: float = 0.0
    verdict: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    window: Window = field(default_factory=Window)
    mirror: int = 0

    @property
    def weight(self) -> int:
        """The version's share in this step, in percent."""
        return self.steps[self.step]


class Outcome(StrEnum):
    """What is to be done with a canary."""

    HOLD = "hold"
    ADVANCE = "advance"
    CARRY_OUT = "carry out"
    ROLL_BACK = "roll back"


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done, and the canary as it is then, with the reason in its verdict."""

    outcome: Outcome
    canary: Canary


@dataclass(frozen=True, slots=True)
class Look:
    """What there is to decide by: the reports of one model's versions, or None while the mesh does
    not answer; the time, in seconds since the epoch; and how long this process has waited for the
    mesh, in seconds.
    """

    reports: Sequence[Report] | None
    now_s: float = 0.0
    blind_s: float = 0.0


def check_steps(steps: Sequence[int]) -> None:
    """Raises InvalidArgument unless steps rise and end with the whole traffic."""
    rising = all(first < second for first, second in pairwise(steps))
    if steps and rising and steps[0] > 0 and steps[-1] == WHOLE:
        return
    given = ",".join(map(str, steps)) or "none"
    raise InvalidArgument(
        f"A canary's steps must rise and end with {WHOLE}, for example 1,10,50,100; "
        f"given were {given}.",
        reason="INVALID_FIELD",
        metadata={"field": "canary.steps"},
    )


def begin(canary: Canary, now_s: float) -> Canary:
    """The canary at its first step."""
    words = "waiting until a replica has it ready"
    return replace(canary, step=0, step_s=now_s, verdict=words, window=Window(), evidence={})


def advance(canary: Canary, now_s: float, answers_min: int) -> Canary:
    """The canary at its next step."""
    window = canary.window.anew(answers_min)
    return replace(canary, step=canary.step + 1, step_s=now_s, window=window)


def decide(canary: Canary, champion: int, number: int, look: Look, limits: Limits) -> Decision:
    """Takes a look at version `number`, the canary, beside `champion`."""
    if look.reports is None:
        return _decide_blind(canary, look, limits)
    present = [one for one in look.reports if one.number == number and one.present]
    window = add(canary.window, look.reports, champion, number, look.now_s)
    canary = replace(canary, window=window)
    verdict = judge_now(canary, limits)
    if verdict.judgement is Judgement.WORSE:
        return _told(Outcome.ROLL_BACK, canary, verdict.words, limits)
    if not any(one.phase is Phase.READY for one in present):
        return _decide_unready(canary, present, look, limits)
    if not window.ready_s:
        # The first step begins when a replica can answer. What the champion did before that, with
        # the machine to itself, is no measure of what comes: both answer in the same time.
        window = replace(window.anew(limits.answers_min), canary=window.canary)
        canary = replace(canary, step_s=look.now_s)
    canary = replace(canary, window=replace(window, ready_s=look.now_s))
    return _decide_ready(canary, verdict, look, limits)


def to_canary(value: Mapping[str, Any] | None) -> Canary | None:
    """Reads a canary from JSON, as `from_canary` wrote it."""
    if value is None:
        return None
    window = to_window(value["window"])
    return Canary(**{**value, "steps": tuple(value["steps"]), "window": window})


def from_canary(canary: Canary) -> dict[str, Any]:
    """Writes a canary as JSON."""
    return asdict(canary)


def _decide_blind(canary: Canary, look: Look, limits: Limits) -> Decision:
    # Neither what another process has seen meanwhile nor a time that this one was away counts.
    unseen_s = min(look.blind_s, look.now_s - max(canary.window.seen_s, canary.step_s))
    if unseen_s > limits.blind_s:
        words = f"the mesh has not answered for {unseen_s:.0f} s, so nobody sees how it does"
        return _told(Outcome.ROLL_BACK, canary, words, limits)
    return _told(Outcome.HOLD, canary, "the mesh does not answer; waiting for it", limits)


def _decide_unready(canary: Canary, present: list[Report], look: Look, limits: Limits) -> Decision:
    unready_s = look.now_s - max(canary.window.ready_s, canary.step_s)
    failed = [one for one in present if one.phase is Phase.FAILED]
    if failed and len(failed) == len(present) and unready_s > limits.failed_s:
        words = f"it failed on every replica: {failed[0].detail or 'without a reason'}"
        return _told(Outcome.ROLL_BACK, canary, words, limits)
    if unready_s > limits.ready_s:
        words = f"no replica had it ready for {unready_s:.0f} s"
        return _told(Outcome.ROLL_BACK, canary, words, limits)
    words = "waiting until a replica has it ready"
    return _told(Outcome.HOLD, canary, words, limits)


def _decide_ready(canary: Canary, verdict: Verdict, look: Look, limits: Limits) -> Decision:
    over_s = look.now_s - canary.step_s - canary.step_duration_s
    if over_s < 0:
        return _told(Outcome.HOLD, canary, verdict.words, limits)
    if verdict.judgement is Judgement.TOO_FEW:
        if over_s < limits.idle_s:
            return _told(Outcome.HOLD, canary, f"held: {verdict.words}", limits)
        if not canary.window.canary.finished or canary.window.canary.failed:
            words = f"{verdict.words}, and the step was held for {over_s:.0f} s"
            return _told(Outcome.ROLL_BACK, canary, words, limits)
    is_last = canary.step + 1 == len(canary.steps)
    outcome = Outcome.CARRY_OUT if is_last else Outcome.ADVANCE
    return _told(outcome, canary, verdict.words, limits)


def judge_now(canary: Canary, limits: Limits) -> Verdict:
    """How it does in this step, beside the champion in the same step or, where that has too little
    to compare with, before it."""
    window = canary.window
    enough = window.champion.first_tokens >= limits.answers_min
    return judge(window.champion if enough else window.reference, window.canary, limits)


def _told(outcome: Outcome, canary: Canary, words: str, limits: Limits) -> Decision:
    figures = judge_now(canary, limits).figures
    evidence = {"step": canary.step, "weight": canary.weight, **figures}
    return Decision(outcome, replace(canary, verdict=words, evidence=evidence))
