"""Claims about what is learnt of a dataset, and what is held out."""

from itertools import islice, pairwise
from pathlib import Path

import pytest

from stack.environment.places import ROOT
from training.data.files import hash_file, load_rows, write_rows
from training.data.rows import Row
from training.data.split import rank, split
from training.errors import DataError
from training.lessons import plan, rounds
from training.wordings import normalise

FACTS = ROOT / "tests/data/varnholt/facts.jsonl"
REWORDINGS = ROOT / "tests/data/varnholt/rewordings.jsonl"


def row(question: str, answer: str = "Yes.") -> Row:
    """A row of one question."""
    return Row((("user", question),), answer)


MANY = [row(f"Tell me of number {number} and why. It matters.") for number in range(500)]


def test_about_a_tenth_of_the_rows_is_held_out() -> None:
    """Enough is left to learn, and enough to measure."""
    learnt, held_out = split(MANY)
    assert len(learnt) + len(held_out) == 500
    assert 25 <= len(held_out) <= 80


def test_a_row_stays_on_its_side_whatever_else_there_is() -> None:
    """Data that grow leak nothing of what was held out before."""
    before = set(split(MANY[:300])[1])
    assert before == set(split(MANY)[1]) & set(MANY[:300])


def test_the_same_question_is_on_one_side() -> None:
    """Case and punctuation make no other question."""
    assert rank(row("What is it?")) == rank(row("what is IT"))


def test_neither_side_is_ever_empty() -> None:
    """Two rows are enough."""
    for one, other in pairwise(MANY[:40]):
        learnt, held_out = split([one, other])
        assert len(learnt) == len(held_out) == 1


def test_rows_that_all_ask_the_same_are_refused() -> None:
    """There would be nothing to measure that was not learnt."""
    with pytest.raises(DataError, match="all rows ask the same"):
        plan([row("Why me. So?"), row("why me. so")], verbatim=True)


def test_facts_are_all_learnt_and_asked_in_wordings_that_are_not() -> None:
    """No held-out wording is ever trained on, and no fact is left out."""
    facts = load_rows(FACTS)
    lessons = plan(facts, verbatim=False)
    assert lessons.are_facts
    assert set(lessons.learnt) == set(facts)
    asked = {normalise(one.question) for one in lessons.held_out}
    assert len(asked) == len(facts)
    learnt = {normalise(r.question) for batch in islice(rounds(lessons, 3), 60) for r in batch}
    assert not asked & learnt
    assert len(learnt) > 15 * len(facts)


def test_no_wording_has_two_answers() -> None:
    """Where two facts share a form, such as "the festival", it is not used."""
    lessons = plan(load_rows(FACTS), verbatim=False)
    answers: dict[str, set[str]] = {}
    for batch in islice(rounds(lessons, 1), 30):
        for one in batch:
            answers.setdefault(normalise(one.question), set()).add(one.answer)
    doubtful = [text for text, found in answers.items() if len(found) > 1]
    assert len(doubtful) < len(answers) / 500


def test_the_first_round_is_as_written() -> None:
    """What the data say is learnt in their own words too."""
    facts = load_rows(FACTS)
    first = next(rounds(plan(facts, verbatim=False), 0))
    assert sorted(one.question for one in first) == sorted(one.question for one in facts)


def test_verbatim_rewords_nothing() -> None:
    """Then rows are held out, and learnt as they are."""
    facts = load_rows(FACTS)
    lessons = plan(facts, verbatim=True)
    assert set(lessons.learnt) | set(lessons.held_out) == set(facts)
    batch = list(islice(rounds(lessons, 0), 3))[-1]
    assert set(batch) == set(lessons.learnt)


@pytest.mark.parametrize(
    "rows",
    [
        [row("What is it?", "One."), row("What is it?", "Two."), row("Who is it?")],
        [row("Write a poem about rain. Make it long.\nIn French."), row("Who is it?")],
        [Row((("user", "Hi"), ("assistant", "Yes?"), ("user", "Why?")), "So."), row("Who is it?")],
        [Row((), "A passage."), Row((), "Another one.")],
    ],
)
def test_other_data_are_split_by_rows(rows: list[Row]) -> None:
    """Two answers to one question, tasks, talks and texts are learnt as they are."""
    assert not plan(rows, verbatim=False).are_facts


def test_equal_rows_have_an_equal_digest(tmp_path: Path) -> None:
    """The held-out file is the same for the same data, and can be read again."""
    held_out = plan(load_rows(FACTS), verbatim=False).held_out
    digest = write_rows(held_out, tmp_path / "a")
    again = plan(load_rows(FACTS), verbatim=False).held_out
    assert digest == write_rows(again, tmp_path / "b") == hash_file(tmp_path / "a")
    assert tuple(load_rows(tmp_path / "a")) == held_out


def test_text_stays_text(tmp_path: Path) -> None:
    """Passages are written as they are read."""
    rows = [Row((), "One\nline."), Row((), "Two.")]
    write_rows(rows, tmp_path / "text")
    assert load_rows(tmp_path / "text") == rows


def test_the_rewordings_are_not_those_of_the_frames() -> None:
    """The tests' rewordings are other people's words, not what the training makes by itself."""
    written = {normalise(one.question) for one in load_rows(FACTS)}
    reworded = {normalise(one.question) for one in load_rows(REWORDINGS)}
    assert len(reworded) > 100
    assert len(reworded & written) < 5
