"""Sums in a row to practise on: of all that the starter learns, sums need the most repetitions.

Only the results are learnt. A row costs a third of what the same sums cost as questions, and what
it teaches holds for those, since an answer says the whole sum. Knows no tokens. Same generator,
same sums.
"""

from random import Random

TOKENS_A_SUM = 8
"""At least, as in "3 + 4 = 7, ": a row is a little longer than the dialogue that it goes with."""

Piece = tuple[str, str]
"""What is given, and what is to be learnt after it."""


def sums_in_a_row(rng: Random, count: int) -> tuple[Piece, ...]:
    """Chance sums of two digits, together "3 + 4 = 7, 2 + 9 = 11, ..."."""
    terms = [(rng.randrange(10), rng.randrange(10)) for _ in range(count)]
    return tuple(
        (f"{', ' if number else ''}{a} + {b} = ", str(a + b)) for number, (a, b) in enumerate(terms)
    )
