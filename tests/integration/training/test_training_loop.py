"""Claims about the training loop, on models that learn in seconds."""

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pytest

from training.dialogues import texts, training_dialogues
from training.examples import Example, encode_dialogue
from training.sizes import TINY_SHAPE, Recipe
from training.tokenizer import train_tokenizer

pytestmark = pytest.mark.slow

RECIPE = Recipe(steps=40, batch_tokens=1000, warmup_steps=3)


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
    """Forty steps halve the first loss at least."""
    seen = losses(examples, 0)
    assert len(seen) == RECIPE.steps
    assert min(seen[-5:]) < seen[0] / 2


def test_the_same_seed_trains_the_same_model(examples: list[Example]) -> None:
    """Every step repeats to the last bit; another seed goes another way."""
    first = losses(examples, 0)
    assert losses(examples, 0) == first
    assert losses(examples, 1) != first


def test_one_core_trains_the_same_model_as_two(
    examples: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many cores share a step changes the time and no bit of the result."""
    shared = losses(examples, 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert losses(examples, 0) == shared


def test_a_failure_in_one_share_ends_the_training(examples: list[Example]) -> None:
    """The error of a thread is the caller's, at once and as it was."""
    broken = [Example((*example.ids, 512), (*example.learnt, True)) for example in examples]
    with pytest.raises(IndexError):
        losses(broken, 0)


def test_too_few_examples_are_refused(examples: list[Example]) -> None:
    """A recipe is never cut short in silence."""
    with pytest.raises(ValueError, match="need more examples"):
        losses(examples[:50], 0)


def test_muon_changes_the_same_however_many_share_the_work() -> None:
    """A matrix is one thread's alone, an odd one out too."""
    import torch

    from training.muon import Muon

    changed = []
    for threads in (1, 2):
        torch.manual_seed(0)
        matrices = [torch.nn.Parameter(torch.randn(16, 32)) for _ in range(3)]
        matrices.append(torch.nn.Parameter(torch.randn(8, 8)))
        with ThreadPoolExecutor(threads) as team:
            optimizer = Muon(matrices, lr=0.02, team=team)
            for matrix in matrices:
                matrix.grad = torch.randn_like(matrix)
            optimizer.step()
        changed.append([matrix.detach() for matrix in matrices])
    assert all(map(torch.equal, *changed))


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
