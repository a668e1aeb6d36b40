"""Claims about how long and how boldly to train."""

import pytest

from training.tuning.recipe import choose

SMALL, LARGE = 2_000_000, 500_000_000


def test_what_the_caller_says_holds() -> None:
    """Epochs and learning rate are taken as they are."""
    found = choose(
        "FULL", rows=10, are_facts=True, parameters=SMALL, epochs=7, learning_rate=0.5, seed=3
    )
    assert (found.rounds, found.learning_rate, found.seed) == (7, 0.5, 3)


@pytest.mark.parametrize("rows", [2, 10, 100, 1000, 100_000])
def test_no_size_of_data_makes_an_endless_or_an_empty_training(rows: int) -> None:
    """Few rows are repeated often, many hardly."""
    for are_facts in (True, False):
        found = choose("FULL", rows=rows, are_facts=are_facts, parameters=SMALL)
        assert 2 <= found.rounds <= 200
        assert rows * found.rounds >= found.batch_rows


def test_large_models_are_changed_more_carefully() -> None:
    """What is right for two million weights breaks five hundred million."""
    small, large = (
        choose("FULL", rows=100, are_facts=True, parameters=size) for size in (SMALL, LARGE)
    )
    assert large.learning_rate < small.learning_rate
    assert large.embedding_factor == 1.0


def test_new_weights_are_trained_longer() -> None:
    """They know nothing yet."""
    tuned, made = (
        choose(method, rows=100, are_facts=True, parameters=SMALL) for method in ("FULL", "SCRATCH")
    )
    assert made.rounds > tuned.rounds
