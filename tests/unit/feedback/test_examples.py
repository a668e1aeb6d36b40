"""From feedback to rows."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.jobs.data.entries import Entry, Origin, Rating, Turn, Word
from services.jobs.data.examples import LINE_BYTES_MAX, Collection, LeftOut, read_example

Q, A = Turn("user", "Who?"), Turn("assistant", "Ada.")
S = Turn("system", "Be brief.")


def word(*turns: Turn, rating: Rating = Rating.GOOD, correction: str = "") -> Word:
    """What someone says of a conversation."""
    return Word("ada", "chatcmpl-x", 0, rating, correction, "", turns)


def answer_of(word: Word) -> object:
    """The answer that is learnt, or why none is."""
    found = read_example(word)
    return found if isinstance(found, LeftOut) else json.loads(found[1])["messages"][-1]["content"]


@pytest.mark.parametrize(
    ("said", "learnt"),
    [
        (word(Q, A), "Ada."),
        (word(S, Q, A), "Ada."),
        (word(Q, A, Q, A), "Ada."),
        (word(Q, A, correction="Eve."), "Ada."),
        (word(Q, A, rating=Rating.BAD, correction=" Eve. "), "Eve."),
        (word(Q, rating=Rating.BAD, correction="Eve."), "Eve."),
        (word(Q, A, rating=Rating.BAD), LeftOut.UNUSABLE),
        (word(Q, A, rating=Rating.BAD, correction=" \n"), LeftOut.UNUSABLE),
        (word(), LeftOut.UNUSABLE),
        (word(Q), LeftOut.UNUSABLE),
        (word(A), LeftOut.UNUSABLE),
        (word(S, A), LeftOut.UNUSABLE),
        (word(S), LeftOut.UNUSABLE),
        (word(Q, A, A), LeftOut.UNUSABLE),
        (word(Q, Q, A), LeftOut.UNUSABLE),
        (word(Q, S, A), LeftOut.UNUSABLE),
        (word(Turn("user", "  "), A), LeftOut.UNUSABLE),
        (word(Turn("user", "x" * LINE_BYTES_MAX), A), LeftOut.UNUSABLE),
        (word(Turn("user", "I am ada@example.org"), A), LeftOut.PERSONAL),
        (word(Turn("system", "ada@example.org"), Q, A), LeftOut.PERSONAL),
        (word(Q, A, rating=Rating.BAD, correction="ada@example.org"), LeftOut.PERSONAL),
    ],
)
def test_what_is_learnt_of_a_word(said: Word, learnt: object):
    """The good answer, or the correction of a bad one, of a conversation in turns."""
    assert answer_of(said) == learnt


@given(
    st.lists(st.tuples(st.integers(0, 5), st.text(max_size=3), st.booleans()), max_size=20),
    st.randoms(),
)
def test_each_entry_is_a_row_or_is_counted(said: list[tuple[int, str, bool]], random):
    """None is lost, and their order decides nothing but which of two answers is learnt."""
    entries = [
        Entry(
            number,
            datetime.now(UTC),
            word(
                Turn("user", f"Question {question}"),
                A,
                rating=Rating.GOOD if good else Rating.BAD,
                correction=correction,
            ),
            Origin("m", 1),
        )
        for number, (question, correction, good) in enumerate(said)
    ]
    rows = Collection(1 << 20)
    rows.add(entries)
    assert rows.rows + rows.duplicates + rows.personal + rows.unusable == len(entries)
    again = Collection(1 << 20)
    random.shuffle(entries)
    again.add(entries)
    questions = [
        {json.loads(line)["messages"][0]["content"] for line in one.to_bytes().splitlines()}
        for one in (rows, again)
    ]
    assert questions[0] == questions[1]
