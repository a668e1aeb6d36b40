"""Which rows are learnt, and which are kept to be asked: the same row is always on the same side.

Rows with the same question stay together, whatever the case and the punctuation. Knows nothing of
files or models.
"""

from collections.abc import Sequence
from hashlib import blake2b

from training.data.rows import Row
from training.wordings import normalise

HELD_OUT_SHARE = 10
"""One question in this many is held out."""


def key(row: Row) -> str:
    """What makes two rows ask the same: the question's letters; of a passage, its own."""
    return normalise(row.question or row.answer) or (row.question or row.answer)


def rank(row: Row) -> int:
    """A number that the question alone decides, spread evenly."""
    return int.from_bytes(blake2b(key(row).encode(), digest_size=8).digest(), "big")


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
