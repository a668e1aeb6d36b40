"""When two questions are the same."""

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.jobs.data.entries import Turn
from services.jobs.data.questions import TRAILING, conversation_key, normalise

EXAMPLES = json.loads(
    (Path(__file__).parents[2] / "data" / "questions.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["question"])
def test_the_rule_is_the_one_that_is_written_down(example: dict):
    """The examples that training is held to as well: the normal form, and the side it is on."""
    plain = normalise(example["question"])
    assert plain == example["same_as"]
    held_out = int(hashlib.sha256(plain.encode()).hexdigest()[:8], 16) % 10 == 0
    assert held_out == example["held_out"]


@given(st.text(), st.text(st.sampled_from(TRAILING + " \t\n")))
def test_what_is_around_a_question_changes_nothing(text: str, after: str):
    """Space before it, and marks and space after it."""
    assert normalise(f" \n{text}{after}") == normalise(text)


@given(st.text(st.characters(max_codepoint=0x24F)))
def test_case_changes_nothing(text: str):
    """Of Latin letters, also of those that have none."""
    assert normalise(text.upper().lower()) == normalise(text.lower().upper())


def test_what_was_said_before_makes_another_question():
    """ "And why?" asks for something else each time."""
    before, other = Turn("user", "Who?"), Turn("user", "Where?")
    answer, why = Turn("assistant", "X."), Turn("user", "And why?")
    assert conversation_key([before, answer, why]) != conversation_key([other, answer, why])
    assert conversation_key([why]) == conversation_key([Turn("user", "and WHY ")])
