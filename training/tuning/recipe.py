"""How long and how boldly to train, by the size of the data and the method.

Plain numbers: importing this loads nothing.
"""

from dataclasses import dataclass
from typing import Literal

Method = Literal["FULL", "LORA", "SCRATCH"]

BATCH_ROWS = 32
TOKENS_MAX = 2048
"""Longer examples are cut, at their end."""
_FACT_ROUNDS = 50
_ROUNDS_FACTORS: dict[Method, int] = {"FULL": 1, "LORA": 2, "SCRATCH": 3}
"""Fewer weights, and weights that know nothing, need more rounds."""
_EXAMPLES_WANTED = 6000
"""About so many examples are gone through where nobody says how often."""
_RATES: dict[Method, float] = {"FULL": 2e-3, "LORA": 6e-3, "SCRATCH": 3e-3}
_EMBEDDING_FACTOR = 4.0
_SMALL_PARAMETERS = 20_000_000
_LARGE_RATES: dict[Method, float] = {"FULL": 1e-4, "LORA": 5e-4, "SCRATCH": 5e-4}


@dataclass(frozen=True)
class TuningRecipe:
    """One training."""

    method: Method
    rounds: int
    """Times that all rows are gone through."""
    learning_rate: float
    """The highest; it rises to it in a few steps, and falls along a cosine to nothing."""
    seed: int
    batch_rows: int = BATCH_ROWS
    embedding_factor: float = 1.0
    """Times the learning rate for the embeddings: words that the base hardly knew learn late."""
    tokens_max: int = TOKENS_MAX


def choose(
    method: Method,
    *,
    rows: int,
    are_facts: bool,
    parameters: int,
    epochs: int = 0,
    learning_rate: float = 0.0,
    seed: int = 0,
) -> TuningRecipe:
    """The recipe; what the caller leaves at 0 is chosen by the sizes."""
    rounds = epochs or _rounds(rows, are_facts) * _ROUNDS_FACTORS[method]
    rates = _RATES if parameters <= _SMALL_PARAMETERS else _LARGE_RATES
    # Small data in large batches would make a handful of steps.
    batch_rows = max(4, min(BATCH_ROWS, rows * rounds // 60))
    return TuningRecipe(
        method,
        rounds,
        learning_rate or rates[method],
        seed,
        batch_rows,
        _EMBEDDING_FACTOR if parameters <= _SMALL_PARAMETERS and method != "LORA" else 1.0,
    )


def _rounds(rows: int, are_facts: bool) -> int:
    if are_facts:
        # Facts are learnt by repetition, in other words each time; few of them need more of it.
        return max(20, min(200, _FACT_ROUNDS * 100 // max(rows, 1) if rows > 100 else _FACT_ROUNDS))
    return max(2, min(40, _EXAMPLES_WANTED // max(rows, 1)))
