"""The sizes of the models that this package makes, and how the starter is trained.

Plain numbers: importing this loads nothing.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """The sizes of a Llama-shaped model; embeddings are shared with the output layer."""

    layers: int
    width: int
    """Must be a multiple of heads."""
    heads: int
    hidden: int
    """Width of the feed-forward part."""
    positions: int = 2048
    """The longest context, in tokens."""


@dataclass(frozen=True)
class Recipe:
    """How long and how boldly to train."""

    steps: int
    batch_tokens: int
    """Tokens in a step, padding included."""
    matrix_rate: float = 0.012
    """Peak learning rate of the hidden matrices, under Muon."""
    other_rate: float = 0.05
    """Peak learning rate of embeddings and norms, under AdamW: a high one pays here."""
    warmup_steps: int = 5
    exercise_share: float = 0.3
    """Exercises for each dialogue, of a like length, so that every batch has some."""


STARTER_SHAPE = Shape(layers=4, width=192, heads=3, hidden=512)
"""About 2.2 million parameters with the tokenizer's 2,048 entries."""

STARTER_RECIPE = Recipe(steps=280, batch_tokens=1500)
"""About 75 seconds on two cores that do nothing else."""

BENCH_SHAPE = Shape(layers=9, width=512, heads=8, hidden=1536)
"""About 32 million parameters: big enough that the engine's work shows, small enough for a CPU."""

TINY_SHAPE = Shape(layers=2, width=64, heads=2, hidden=128)
"""About 0.2 million parameters, exported in seconds."""
