"""The written rule by which questions are held out."""

import json
from pathlib import Path

import pytest

from training.data.rows import Row
from training.data.split import HELD_OUT_SHARE, plain, rank

EXAMPLES = json.loads(
    (Path(__file__).parents[3] / "data" / "questions.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["question"])
def test_the_rule_is_the_one_that_is_written_down(example: dict) -> None:
    """The examples that feedback is held to as well: the normal form, and the side it is on."""
    assert plain(example["question"]) == example["same_as"]
    row = Row((("user", example["question"]),), answer=example["question"])
    assert (rank(row) % HELD_OUT_SHARE == 0) == example["held_out"]
