"""A model folder without a model: a small byte-level tokenizer, a template, and files of no weight.

The tokenizer has one token for each byte, a few longer ones of which some end within a character,
and three control tokens.
"""

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from services.serving.model import ENGINE_FILES, ENGINE_FOLDER

END, TURN, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CONTROLS = (END, TURN, TURN_END)
CHATML = (
    "{% for message in messages %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Pairs of pieces in the byte alphabet; the third is an "a" with the first byte of "é" or "ü".
MERGES = [("h", "e"), ("l", "l"), ("a", "Ã"), ("he", "ll")]
CONTEXT_TOKENS_MAX = 200


def make_tokenizer() -> Tokenizer:
    """Makes the tokenizer."""
    pieces = sorted(pre_tokenizers.ByteLevel.alphabet()) + ["".join(merge) for merge in MERGES]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=MERGES))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(control, special=True) for control in CONTROLS])
    return tokenizer


def write_model(folder: Path, *, template: str = CHATML, **generation: object) -> Path:
    """Writes a model folder; `generation` goes into generation_config.json."""
    tokenizer = make_tokenizer()
    (folder / ENGINE_FOLDER).mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    ends = [tokenizer.token_to_id(TURN_END), tokenizer.token_to_id(END)]
    config = {
        "max_position_embeddings": CONTEXT_TOKENS_MAX,
        "vocab_size": tokenizer.get_vocab_size(),
        "eos_token_id": ends,
    }
    _write_json(folder / "config.json", config)
    _write_json(folder / "generation_config.json", {"eos_token_id": ends, **generation})
    _write_json(folder / "tokenizer_config.json", {"chat_template": template, "eos_token": END})
    _write_json(folder / "model_card.json", {"about": "a test"})
    for file in ENGINE_FILES:
        (folder / ENGINE_FOLDER / file).write_text(file)
    return folder


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
