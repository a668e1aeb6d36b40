"""Bounds of numbers become expressions that hold them."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from services.serving.number_grammar import BOUND_MAX, bounded_number
from services.serving.regex_grammar import GrammarError

SMALL = st.integers(-1500, 1500)
BOUNDS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), SMALL),
).filter(bool)


def expression(bounds: dict, *, whole: bool) -> str | None:
    """The expression, or None where there is no such number."""
    try:
        return bounded_number(bounds, whole=whole)
    except GrammarError as error:
        assert "no number is within" in str(error)
        return None


@given(BOUNDS, st.integers(-2000, 2000))
def test_integers_are_held_exactly(bounds, number):
    """An integer's text matches if and only if the bounds allow it."""
    pattern = expression(bounds, whole=True)
    schema = {"type": "integer", **bounds}
    matches = pattern is not None and bool(re.fullmatch(pattern, str(number)))
    assert matches == Draft202012Validator(schema).is_valid(number)


@given(BOUNDS, st.decimals(-2000, 2000, places=3).filter(bool))
def test_numbers_are_held(bounds, number):
    """A number with a fraction matches if and only if the bounds allow it."""
    pattern = expression(bounds, whole=False)
    allowed = Draft202012Validator({"type": "number", **bounds}).is_valid(float(number))
    # In its shortest form: with zeros at the end, a number near an open bound is not written.
    matches = pattern is not None and bool(re.fullmatch(pattern, f"{number.normalize():f}"))
    assert matches == allowed


@pytest.mark.parametrize(
    ("bounds", "yes", "no"),
    [
        ({"minimum": 0.5, "maximum": 2.5}, ["1", "2"], ["0", "3"]),
        ({"minimum": 10**15}, [str(10**15)], [str(10**15 - 1)]),
        ({"maximum": -(10**15)}, [str(-(10**15))], ["-1"]),
    ],
)
def test_bounds_may_lie_anywhere(bounds, yes, no):
    """Between integers, or at the ends of what is exact."""
    pattern = bounded_number(bounds, whole=True)
    assert all(re.fullmatch(pattern, text) for text in yes)
    assert not any(re.fullmatch(pattern, text) for text in no)
    assert all(json.loads(text) is not None for text in yes)


@pytest.mark.parametrize(
    ("bounds", "whole", "words"),
    [
        ({"minimum": 0.5}, False, "must be whole"),
        ({"minimum": BOUND_MAX + 1}, True, "bounds go to"),
        ({"minimum": 3, "maximum": 2}, True, "no number"),
        ({"exclusiveMinimum": 2, "maximum": 2}, False, "no number"),
        ({"exclusiveMinimum": 1, "exclusiveMaximum": 2}, True, "no number"),
    ],
)
def test_what_cannot_be_held_is_refused(bounds, whole, words):
    """With a reason that a caller understands."""
    with pytest.raises(GrammarError, match=words):
        bounded_number(bounds, whole=whole)
