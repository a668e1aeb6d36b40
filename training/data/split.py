"""Which rows are learnt, and which are kept to be asked: a question is always on the same side.

The rule is in docs/datasets.md; this side of it is held to tests/data/questions.json. Knows nothing
of files or models.
"""

import unicodedata
from collections.abc import Sequence
from hashlib import sha256

from training.data.rows import Row

HELD_OUT_SHARE = 10
"""One question in this many is held out."""
TRAILING = ".,;:!?…。、؟؛،।"
"""Ends of sentences, which make no other question."""
_DIGITS = 8


def key(row: Row) -> str:
    """What makes two rows ask the same; of a passage, its own words."""
    return plain(row.question or row.answer)


def plain(text: str) -> str:
    """What is left of a question without case, forms of letters, spacing and its last marks."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(folded.split()).rstrip(TRAILING + " ")


def rank(row: Row) -> int:
    """A number that the question alone decides, spread evenly."""
    return int(sha256(key(row).encode()).hexdigest()[:_DIGITS], 16)


def split(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Rows to learn and rows to ask, each in their order, neither without a row.

    Where chance holds out none, or all, the question of the lowest rank, or the highest, changes
    sides. Raises ValueError when all rows ask the same.
    """
    ranks = sorted({rank(row) for row in rows})
    if len(ranks) < 2:
        raise ValueError("all rows ask the same")
    held = {number for number in ranks if number % HELD_OUT_SHARE == 0}
    held = held or {ranks[0]}
    if len(held) == len(ranks):
        held.remove(ranks[-1])
    return [row for row in rows if rank(row) not in held], [r for r in rows if rank(r) in held]
