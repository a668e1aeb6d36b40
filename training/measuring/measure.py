"""Measures a model on held-out rows: how many answers are exactly right, and how sure it is.

Knows rows and answers; knows nothing of jobs or of who compares.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.data.rows import Row
from training.data.split import rank
from training.measuring.answers import Answerer

ASKED_MAX = 400
"""Most questions that are asked: those of the lowest rank, so always the same ones."""
CATEGORIES_MAX = 100
EXACT_MATCH, PERPLEXITY, LATENCY = "eval.exact_match", "eval.perplexity", "eval.latency_ms"


@dataclass(frozen=True)
class Measured:
    """What came of it."""

    metrics: dict[str, float]
    wrong: tuple[tuple[str, str, str], ...]
    """Question, right answer, given answer; the first few."""


def measure(
    folder: Path,
    rows: Sequence[Row],
    threads: int,
    on_progress: Callable[[float], None] = lambda _: None,
) -> Measured:
    """Asks the model in a folder; plain text is only weighed. `on_progress` hears 0 to 1."""
    chosen = sorted(rows, key=rank)[:ASKED_MAX]
    answerer = Answerer(folder, threads)
    asked = [row for row in chosen if row.messages]
    metrics: dict[str, float] = {}
    wrong: list[tuple[str, str, str]] = []
    if asked:
        answers = answerer.answer(asked, lambda done: on_progress(0.7 * done / len(asked)))
        metrics, wrong = _compared(asked, answers)
        metrics[LATENCY] = round(answerer.median_latency_ms(asked), 2)
    on_progress(0.8)
    metrics[PERPLEXITY] = answerer.perplexity(
        chosen, lambda done: on_progress(0.8 + 0.2 * done / len(chosen))
    )
    on_progress(1.0)
    return Measured(metrics, tuple(wrong[:50]))


def _compared(
    rows: Sequence[Row], answers: Sequence[str]
) -> tuple[dict[str, float], list[tuple[str, str, str]]]:
    marks: dict[str, list[bool]] = defaultdict(list)
    wrong = []
    for row, answer in zip(rows, answers, strict=True):
        is_right = answer.strip() == row.answer.strip()
        marks[""].append(is_right)
        if row.category:
            marks[row.category].append(is_right)
        if not is_right:
            wrong.append((row.question, row.answer, answer))
    metrics = {EXACT_MATCH: _share(marks.pop(""))}
    for name in sorted(marks)[:CATEGORIES_MAX]:
        metrics[f"eval.category.{name}"] = _share(marks[name])
    return metrics, wrong


def _share(marks: Sequence[bool]) -> float:
    return sum(marks) / len(marks)
