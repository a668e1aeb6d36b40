"""Whether a version does as well as the champion. Pure.

A few failures are told from bad luck by a confidence bound; times are compared by their means, once
there are enough of them. What the champion cannot be compared in is not held against a canary.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from services.registry.canary.figures import Counts

# One-sided 95 %.
Z = 1.645


@dataclass(frozen=True, slots=True)
class Limits:
    """How much worse than the champion a canary may do. Times are in seconds.

    answers_min: fewer answers than this are too few to judge by.
    failures_min: fewer failures than this are taken for accidents.
    error_margin: how far the error rate may lie above the champion's, from 0 to 1; it is exceeded
        when that is 95 % sure, so that three failures of three answers are enough.
    first_token_ratio, first_token_slack_s: the mean time to the first token may be the champion's
        times the ratio, and the slack more.
    next_token_ratio, next_token_slack_s: the same of the mean time between two tokens.
    ready_s: how long the version may be ready nowhere.
    failed_s: how long it may have failed everywhere: a replica tries again after 1, 2, 4 and 8 s,
        and what it lacked may be there by then, a registry that was killed for example.
    idle_s: how long a step may go on past its end because there are too few answers.
    blind_s: how long the mesh may say nothing.
    """

    answers_min: int = 20
    failures_min: int = 3
    error_margin: float = 0.02
    first_token_ratio: float = 2.0
    first_token_slack_s: float = 0.1
    next_token_ratio: float = 1.5
    next_token_slack_s: float = 0.001
    ready_s: float = 300.0
    failed_s: float = 20.0
    idle_s: float = 600.0
    blind_s: float = 120.0


class Judgement(StrEnum):
    """How a canary does."""

    HOLDS = "holds"
    WORSE = "worse"
    TOO_FEW = "too few answers"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a canary does: in a word, in a sentence, and in figures that JSON can hold."""

    judgement: Judgement
    words: str
    figures: Mapping[str, Any] = field(default_factory=dict)


def judge(champion: Counts, canary: Counts, limits: Limits) -> Verdict:
    """Compares a canary with the champion, both over the same time."""
    worse = [*_failures(champion, canary, limits), *_times(champion, canary, limits)]
    figures = {
        "canary": figures_of(canary),
        "champion": figures_of(champion),
        "limits": asdict(limits),
    }
    if worse:
        return Verdict(Judgement.WORSE, f"worse than the champion: {'; '.join(worse)}", figures)
    words = _words(champion, canary)
    if canary.answers < limits.answers_min:
        words = f"{words}; it takes {limits.answers_min} to judge"
        return Verdict(Judgement.TOO_FEW, words, figures)
    return Verdict(Judgement.HOLDS, words, figures)


def figures_of(counts: Counts) -> dict[str, float]:
    """What counts amount to: numbers, rates from 0 to 1, and mean times in seconds."""
    return {
        "answers": counts.answers,
        "failed": counts.failed,
        "error_rate": round(counts.error_rate, 6),
        "first_token_s": round(counts.mean_first_token_s, 6),
        "next_token_s": round(counts.mean_next_token_s, 6),
    }


def surely_above(failed: int, answers: int) -> float:
    """The rate that the true rate of failures lies above, with 95 % confidence (Wilson's bound)."""
    if not answers:
        return 0.0
    rate, square = failed / answers, Z * Z
    middle = rate + square / (2 * answers)
    spread = Z * math.sqrt(rate * (1 - rate) / answers + square / (4 * answers**2))
    return max(0.0, (middle - spread) / (1 + square / answers))


def _failures(champion: Counts, canary: Counts, limits: Limits) -> list[str]:
    if canary.failed < limits.failures_min:
        return []
    allowed = champion.error_rate + limits.error_margin
    if surely_above(canary.failed, canary.answers) <= allowed:
        return []
    return [
        f"{canary.failed} of {canary.answers} answers failed ({canary.error_rate:.0%}), "
        f"of the champion's {champion.failed} of {champion.answers}"
    ]


def _times(champion: Counts, canary: Counts, limits: Limits) -> list[str]:
    if min(champion.first_tokens, canary.first_tokens) < limits.answers_min:
        return []
    asked = (
        (
            "first token after",
            canary.mean_first_token_s,
            champion.mean_first_token_s,
            limits.first_token_ratio,
            limits.first_token_slack_s,
        ),
        (
            "each next token after",
            canary.mean_next_token_s,
            champion.mean_next_token_s,
            limits.next_token_ratio,
            limits.next_token_slack_s,
        ),
    )
    return [
        f"{name} {_time(ours)}, the champion's after {_time(theirs)} "
        f"(at most {_time(theirs * ratio + slack)})"
        for name, ours, theirs, ratio, slack in asked
        if theirs > 0 and ours > theirs * ratio + slack
    ]


def _words(champion: Counts, canary: Counts) -> str:
    if not canary.answers:
        return "no answers yet"
    failed = f"{canary.failed} failed" if canary.failed else "none failed"
    parts = [f"{canary.answers} answers, {failed}"]
    if canary.first_tokens:
        against = _against(champion.mean_first_token_s)
        parts.append(f"first token {_time(canary.mean_first_token_s)}{against}")
    if canary.next_tokens:
        against = _against(champion.mean_next_token_s)
        parts.append(f"each next {_time(canary.mean_next_token_s)}{against}")
    return ", ".join(parts)


def _against(champion_s: float) -> str:
    return f" (champion {_time(champion_s)})" if champion_s else ""


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"
