"""Claims about the sums that the starter model practises on."""

from itertools import islice
from random import Random

import pytest
from tokenizers import Tokenizer

from training.dialogues import texts, training_dialogues
from training.examples import encode_exercise
from training.exercises import TOKENS_A_SUM, sums_in_a_row
from training.tokenizer import encode_text, train_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(texts(islice(training_dialogues(0), 500)), 1024)


def test_every_sum_is_right() -> None:
    """Nothing wrong is practised, and each pair of digits has its turn."""
    seen = set()
    for given, wanted in sums_in_a_row(Random(0), 2000):
        a, b = given.removeprefix(", ").removesuffix(" = ").split(" + ")
        assert int(a) + int(b) == int(wanted)
        seen.add((a, b))
    assert len(seen) == 100


def test_the_same_generator_asks_the_same_sums() -> None:
    """A seed names the exercises."""
    assert sums_in_a_row(Random(1), 50) == sums_in_a_row(Random(1), 50)
    assert sums_in_a_row(Random(1), 50) != sums_in_a_row(Random(2), 50)


def test_only_results_are_learnt(tokenizer: Tokenizer) -> None:
    """The terms are chance, so to guess them teaches nothing."""
    pieces = sums_in_a_row(Random(0), 20)
    example = encode_exercise(tokenizer, pieces)
    learnt = [token for token, wanted in zip(example.ids, example.learnt, strict=True) if wanted]
    assert tokenizer.decode(learnt) == "".join(wanted for _, wanted in pieces)


def test_an_exercise_is_cut_into_tokens_as_an_answer_is(tokenizer: Tokenizer) -> None:
    """What is practised holds in a chat, whose answers are encoded as a whole."""
    pieces = sums_in_a_row(Random(0), 20)
    whole = "".join(given + wanted for given, wanted in pieces)
    ids = encode_text(tokenizer, f"assistant\n{whole}")
    assert list(encode_exercise(tokenizer, pieces).ids[1:]) == ids
    assert TOKENS_A_SUM < len(ids) / len(pieces) < TOKENS_A_SUM + 2
