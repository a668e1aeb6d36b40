"""Model folders that train in seconds, with the starter's tokenizer and template."""

from itertools import islice
from pathlib import Path

from training.dialogues import texts, training_dialogues
from training.model import build_model
from training.quiet import quiet_libraries
from training.sizes import TINY_SHAPE
from training.tokenizer import save_tokenizer, train_tokenizer


def make_small_model(folder: Path, seed: int = 0) -> Path:
    """Random weights in the starter's form, without the engine's."""
    folder.mkdir()
    with quiet_libraries():
        tokenizer = train_tokenizer(texts(islice(training_dialogues(0), 300)), 512)
        model = build_model(TINY_SHAPE, tokenizer.get_vocab_size(), seed)
        model.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    return folder


def make_broken_model(folder: Path) -> Path:
    """One number of its weights is none, so that every loss is none either."""
    from safetensors.torch import load_file, save_file

    make_small_model(folder)
    path = folder / "model.safetensors"
    weights = load_file(path)
    weights["model.norm.weight"][0] = float("nan")
    save_file(weights, path, {"format": "pt"})
    return folder
