"""Gates: what passes, what is refused, and in which words."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.registry.gates import refusals
from services.registry.model import Evaluation, Gate, Policy

DATA, OTHER = "a" * 64, "b" * 64
FLOOR = Policy((Gate("accuracy", floor=0.8),))
MARGIN = Policy((Gate("accuracy", margin=0.05),))
LOSS = Policy((Gate("loss", lower_is_better=True, floor=2.0, margin=0.1),))


def measured(
    value: float | None, metric: str = "accuracy", on: str = DATA
) -> tuple[Evaluation, ...]:
    """One metric, measured once."""
    return (Evaluation(on, {} if value is None else {metric: value}),)


@pytest.mark.parametrize(("value", "passes"), [(0.8, True), (0.81, True), (0.7999999, False)])
def test_a_floor_is_the_worst_that_passes(value: float, passes: bool):
    """The floor itself passes, a hair below does not."""
    assert (refusals(FLOOR, measured(value), None) == []) is passes


@pytest.mark.parametrize(
    ("value", "passes"), [(0.95, True), (0.9, True), (0.85, True), (0.8499999, False)]
)
def test_a_margin_is_the_most_that_may_be_lost(value: float, passes: bool):
    """In decimal, as people write it: 0.90 - 0.85 is 0.05."""
    assert (refusals(MARGIN, measured(value), measured(0.9)) == []) is passes


@pytest.mark.parametrize(("value", "passes"), [(1.0, True), (1.1, True), (1.11, False)])
def test_where_lower_is_better_all_turns_round(value: float, passes: bool):
    """A loss may grow by the margin alone."""
    found = refusals(LOSS, measured(value, "loss"), measured(1.0, "loss"))
    assert (found == []) is passes
    assert refusals(LOSS, measured(2.1, "loss"), None) == ["loss is 2.1, above 2.0"]


@pytest.mark.parametrize("policy", [FLOOR, MARGIN, Policy((Gate("accuracy"),))])
@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_what_was_not_measured_is_refused(policy: Policy, value: float | None):
    """A gate never passes for want of evidence."""
    assert refusals(policy, measured(value), None) == ["accuracy was not measured"]


def test_values_of_different_datasets_are_not_compared():
    """A margin means nothing unless both were measured on the same data."""
    for mine, theirs in ((OTHER, DATA), ("", DATA), (DATA, ""), ("", "")):
        (words,) = refusals(MARGIN, measured(0.99, on=mine), measured(0.9, on=theirs))
        assert "dataset" in words
        assert "RecordEvaluation" in words


def test_a_champion_is_compared_on_the_candidates_dataset():
    """What was recorded of it there counts, not what it reached elsewhere."""
    champion = (*measured(0.99, on=OTHER), *measured(0.7, on=DATA))
    assert refusals(MARGIN, measured(0.66), champion) == []
    (words,) = refusals(MARGIN, measured(0.6), champion)
    assert words == "accuracy is 0.6, worse than the champion's 0.7 by 0.1"


def test_what_was_recorded_of_a_candidate_counts():
    """For floors where its evidence lacks the metric, for margins where datasets meet."""
    candidate = (*measured(0.9, on=OTHER), *measured(0.5))
    (words,) = refusals(MARGIN, candidate, measured(0.9))
    assert words == "accuracy is 0.5, worse than the champion's 0.9 by 0.4"
    unmeasured = (Evaluation("", {}), *measured(0.85))
    assert refusals(FLOOR, unmeasured, None) == []
    assert refusals(MARGIN, unmeasured, measured(0.9)) == []


def test_evidence_comes_before_what_was_recorded():
    """A better number that is recorded later, on another dataset, does not help."""
    both = (*measured(0.9), *measured(0.5, on=OTHER))
    candidate = (*measured(0.1), *measured(0.99, on=OTHER))
    assert len(refusals(FLOOR, candidate, None)) == 1
    (words,) = refusals(MARGIN, candidate, both)
    assert words == "accuracy is 0.1, worse than the champion's 0.9 by 0.8"


@pytest.mark.parametrize("value", [None, math.nan])
def test_a_champion_without_the_metric_is_no_measure(value: float | None):
    """It is refused in words that name the champion, the dataset, and what to do."""
    (words,) = refusals(MARGIN, measured(0.99), measured(value))
    assert words == (
        "accuracy of the champion was not measured on the candidate's evaluation dataset "
        f"{DATA[:12]}: measure it there, and record that with RecordEvaluation"
    )


def test_a_first_version_needs_only_floors():
    """Where there is no champion there is nothing to compare with."""
    assert refusals(MARGIN, measured(0.1, on=""), None) == []


def test_every_gate_that_refuses_is_named():
    """Who is refused hears all reasons at once."""
    policy = Policy((*FLOOR.gates, *LOSS.gates))
    assert len(refusals(policy, (Evaluation("", {"accuracy": 0.1, "loss": 9.0}),), None)) == 2


def test_no_gates_ask_nothing():
    """A model without rules takes any version."""
    assert refusals(Policy(), (), measured(0.9)) == []


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(0, 1e3), st.booleans())
def test_better_never_fails(champion: float, gain: float, margin: float, lower: bool):
    """Whatever the numbers, a candidate that is at least as good as the champion passes."""
    value = min(champion, champion + gain) if lower else max(champion, champion + gain)
    policy = Policy((Gate("m", lower_is_better=lower, margin=margin),))
    assert refusals(policy, measured(value, "m"), measured(champion, "m")) == []
