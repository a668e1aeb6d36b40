"""Claims about the training loop, on models that learn in seconds."""

from itertools import islice

import pytest

from training.dialogues import texts, training_dialogues
from training.examples import Example, encode_dialogue
from training.sizes import TINY_SHAPE, Recipe
from training.tokenizer import train_tokenizer

pytestmark = pytest.mark.slow

RECIPE = Recipe(steps=30, batch_tokens=1000, warmup_steps=3)


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    dialogues = list(islice(training_dialogues(0), 600))
    tokenizer = train_tokenizer(texts(dialogues), 512)
    return [encode_dialogue(tokenizer, dialogue) for dialogue in dialogues]


def losses(examples: list[Example], seed: int) -> list[float]:
    from training.model import build_model, train

    seen: list[float] = []
    model = build_model(TINY_SHAPE, 512, seed)
    train(model, examples, RECIPE, seed, lambda _, loss: seen.append(loss))
    return seen


def test_the_loss_falls(examples: list[Example]) -> None:
    """Thirty steps halve the first loss at least."""
    seen = losses(examples, 0)
    assert len(seen) == RECIPE.steps
    assert min(seen[-5:]) < seen[0] / 2


def test_the_same_seed_trains_the_same_model(examples: list[Example]) -> None:
    """Every step repeats to the last bit; another seed goes another way."""
    first = losses(examples, 0)
    assert losses(examples, 0) == first
    assert losses(examples, 1) != first


def test_too_few_examples_are_refused(examples: list[Example]) -> None:
    """A recipe is never cut short in silence."""
    with pytest.raises(ValueError, match="need more examples"):
        losses(examples[:50], 0)


def test_muon_pulls_singular_values_to_one() -> None:
    """Wide, tall and square changes are near orthogonal, whatever their size was."""
    import torch

    from training.muon import orthogonal

    torch.manual_seed(0)
    for rows, columns in ((16, 64), (64, 16), (32, 32)):
        changes = orthogonal(torch.randn(3, rows, columns) * 1000)
        values = torch.linalg.svdvals(changes)
        assert values.max() < 1.4
        assert values.median() > 0.6
