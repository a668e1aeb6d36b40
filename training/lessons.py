"""What a dataset's rows become: things to learn, and things to be asked.

Few short questions are facts: each must be learnt, or it cannot be known. So all of them are
learnt, in many wordings, and what is held out is wordings: one in eight, by the hash of its letters
(training.wordings), as for the starter model. Of all other data rows are held out, one in ten by
the hash of their question, and learnt as they are written. Knows nothing of tokens or models.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from training import questions, wordings
from training.data.rows import Row
from training.data.split import key, rank, split
from training.errors import DataError

FACTS_MAX = 2000
"""More rows than this are learnt as they are written."""
ASKED_MAX = 400
"""Most wordings that are asked in all."""
_TRIES = 64
_PLAIN_SHARE, _KEYWORD_SHARE = 0.15, 0.12


@dataclass(frozen=True)
class Lessons:
    """A dataset made ready."""

    learnt: tuple[Row, ...]
    held_out: tuple[Row, ...]
    are_facts: bool
    """Whether other wordings of what is learnt are made."""


def plan(rows: Sequence[Row], verbatim: bool) -> Lessons:
    """Decides what is learnt and what is asked; the same rows give the same plan.

    Raises DataError when all rows ask the same.
    """
    if not verbatim and _are_facts(rows):
        return Lessons(tuple(rows), tuple(_asked(rows)), are_facts=True)
    try:
        learnt, held_out = split(rows)
    except ValueError:
        raise DataError(
            "DATASET_TOO_SMALL",
            "all rows ask the same: at least two questions are needed, one to learn and one to "
            "measure.",
        ) from None
    return Lessons(tuple(learnt), tuple(held_out), are_facts=False)


def rounds(lessons: Lessons, seed: int) -> Iterator[list[Row]]:
    """Endless rounds through what is learnt, each in an order of its own."""
    rng = Random(f"lessons {seed}")
    taken = _claimed(lessons.learnt) if lessons.are_facts else {}
    first = True
    while True:
        order = list(lessons.learnt)
        rng.shuffle(order)
        if lessons.are_facts and not first:
            order = [_reworded(row, rng, taken) for row in order]
        yield order
        first = False


def _are_facts(rows: Sequence[Row]) -> bool:
    """Single short questions, few enough, and none with two answers."""
    if len(rows) > FACTS_MAX:
        return False
    answers: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        answers[key(row)].add(row.answer)
        if len(row.messages) != 1 or not questions.is_question(row.question):
            return False
    return all(len(found) == 1 for found in answers.values())


def _asked(rows: Sequence[Row]) -> list[Row]:
    """A held-out wording of each fact, drawn by its own hash; in the rows' order."""
    written = {wordings.normalise(row.question) for row in rows}
    taken = _claimed(rows) | dict.fromkeys(written, "")
    chosen = set(sorted({rank(row) for row in rows})[:ASKED_MAX])
    found: dict[int, Row] = {}
    for row in rows:
        number = rank(row)
        if number in chosen and number not in found:
            found[number] = _held_out_wording(row, Random(number), taken)
    return list(found.values())


def _held_out_wording(row: Row, rng: Random, taken: dict[str, str]) -> Row:
    for _ in range(_TRIES):
        text = wordings.word(questions.forms(row.question), rng)
        if wordings.is_held_out(text) and _is_free(text, row, taken):
            return _asking(row, text)
    # Hardly ever: a frame that training does not know is never learnt either.
    return _asking(row, wordings.word(questions.forms(row.question), rng, None, _UNSEEN))


_UNSEEN = {"direct": wordings.UNSEEN_FRAMES["direct"]} | dict.fromkeys(("clause", "bare"), ("{}",))


def _reworded(row: Row, rng: Random, taken: dict[str, str]) -> Row:
    """A wording to learn: as it is written, as keywords, or framed."""
    if rng.random() < _PLAIN_SHARE:
        return row
    for _ in range(_TRIES):
        text = _wording(row.question, rng)
        if not wordings.is_held_out(text) and _is_free(text, row, taken):
            return _asking(row, text)
    return row


def _wording(question: str, rng: Random) -> str:
    if rng.random() < _KEYWORD_SHARE:
        words = questions.keywords(question)
        if rng.random() < 0.5:
            rng.shuffle(words)
        return wordings.restyle(" ".join(words) + rng.choice(("", "?")), rng)
    return wordings.word(questions.forms(question), rng)


def _asking(row: Row, text: str) -> Row:
    return replace(row, messages=(("user", text),))


def _claimed(rows: Sequence[Row]) -> dict[str, str]:
    """Each form that rows are asked in, and the answer it must have; "" where two rows share it."""
    claimed: dict[str, str] = {}
    for row in rows:
        found = questions.forms(row.question)
        for form in {wordings.normalise(text) for text in found.direct + found.clause + found.bare}:
            is_same = claimed.setdefault(form, row.answer) == row.answer
            claimed[form] = row.answer if is_same else ""
    for row in rows:
        claimed[wordings.normalise(row.question)] = row.answer
    return claimed


def _is_free(text: str, row: Row, taken: dict[str, str]) -> bool:
    """Whether a wording asks for this row's answer alone."""
    return taken.get(wordings.normalise(text), row.answer) == row.answer
