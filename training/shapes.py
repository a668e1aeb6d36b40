"""Models with random weights: one of a size worth measuring, one that tests make in seconds.

They have the starter model's tokenizer, template and folder layout, and say nothing sensible.
"""

from dataclasses import asdict
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from training.card import ModelCard, write_card
from training.quiet import quiet_libraries
from training.sizes import BENCH_SHAPE, TINY_SHAPE, Shape
from training.staging import staged_folder

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from training.export import Precision

__all__ = ["BENCH_SHAPE", "TINY_SHAPE", "Shape", "make_random_model"]

_DIALOGUES = 2000
"""Enough text for a tokenizer with its full vocabulary."""


def make_random_model(
    out: Path, shape: Shape, seed: int = 0, precision: "Precision" = "fp32"
) -> ModelCard:
    """Makes a model folder with random weights, whole or not at all, and returns its card.

    The same seed gives the same weights. Raises FolderExistsError or FolderBusyError.
    """
    with staged_folder(out) as folder, quiet_libraries():
        from training.export import export_openvino
        from training.model import build_model
        from training.tokenizer import save_tokenizer

        tokenizer = _tokenizer()
        model = build_model(shape, tokenizer.get_vocab_size(), seed)
        model.save_pretrained(folder)
        save_tokenizer(tokenizer, folder)
        export_openvino(folder, precision)
        card = ModelCard(
            name=f"parley-random-{model.num_parameters() / 1e6:.1f}m",
            description="Random weights, for measuring speed and for tests; no sense in it.",
            seed=seed,
            parameters=model.num_parameters(),
            shape=asdict(shape),
            vocabulary=tokenizer.get_vocab_size(),
            precision=precision,
        )
        write_card(card, folder)
    return card


@cache
def _tokenizer() -> "Tokenizer":
    """The tokenizer of them all: its making takes far longer than that of the weights."""
    from training.dialogues import texts, training_dialogues
    from training.tokenizer import train_tokenizer

    return train_tokenizer(texts(islice(training_dialogues(0), _DIALOGUES)))
