"""The tokenizer: a byte-level BPE made from the dialogues, and the one way chats become token ids.

Text that a person wrote never becomes a special token: only the markers that the chat template
itself writes do. Serving must encode in just this way, for training did. Knows no models.
"""

import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import jinja2
import jinja2.sandbox
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

END_OF_TEXT = "<|endoftext|>"
TURN_START = "<|im_start|>"
TURN_END = "<|im_end|>"
SPECIALS = (END_OF_TEXT, TURN_START, TURN_END)
"""In the order of their ids, from 0. The first one pads, the last one ends an answer."""
PAD_ID, TURN_START_ID, TURN_END_ID = range(len(SPECIALS))

VOCABULARY = 2048
"""Entries at most; a small corpus may give fewer."""
POSITIONS = 2048
"""The longest chat, in tokens, that the tokenizer's configuration promises."""

TEMPLATE = Path(__file__).with_name("chat_template.jinja").read_text(encoding="utf-8")

_PIECES = r"\p{N}| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s"
"""Single digits, words with the space before them, runs of signs, white space."""


def train_tokenizer(texts: Iterable[str], vocabulary: int = VOCABULARY) -> Tokenizer:
    """Learns the merges from texts. Any byte can be encoded, whatever the texts were."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Writes tokenizer.json, tokenizer_config.json and chat_template.jinja into the folder."""
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": END_OF_TEXT,
        "eos_token": TURN_END,
        "additional_special_tokens": [TURN_START],
        "clean_up_tokenization_spaces": False,
        "model_max_length": POSITIONS,
        "chat_template": TEMPLATE,
    }
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")


def load_tokenizer(folder: Path) -> Tokenizer:
    """Reads the tokenizer of a model folder."""
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def encode_chat(
    tokenizer: Tokenizer, messages: Sequence[Mapping[str, str]], add_generation_prompt: bool
) -> list[int]:
    """Renders messages with the chat template, and encodes them; user text holds no specials."""
    ids: list[int] = []
    for is_marker, text in _segments(messages, add_generation_prompt):
        ids += [SPECIALS.index(text)] if is_marker else encode_text(tokenizer, text)
    return ids


def encode_text(tokenizer: Tokenizer, text: str) -> list[int]:
    """Encodes text as text, special tokens in it included."""
    tokenizer.encode_special_tokens = True
    return tokenizer.encode(text, add_special_tokens=False).ids


def _segments(
    messages: Sequence[Mapping[str, str]], add_generation_prompt: bool
) -> Iterator[tuple[bool, str]]:
    """Cuts the rendered template at its own markers; a marker in a message is text."""
    guard = secrets.token_hex(8)
    guarded = [
        {name: value.replace("<|", f"<{guard}|") for name, value in message.items()}
        for message in messages
    ]
    rendered = _template().render(messages=guarded, add_generation_prompt=add_generation_prompt)
    at = 0
    while at < len(rendered):
        marker = next((mark for mark in SPECIALS if rendered.startswith(mark, at)), None)
        if marker:
            yield True, marker
            at += len(marker)
            continue
        starts = [found for mark in SPECIALS if (found := rendered.find(mark, at)) >= 0]
        end = min(starts, default=len(rendered))
        yield False, rendered[at:end].replace(f"<{guard}|", "<|")
        at = end


@cache
def _template() -> jinja2.Template:
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(TEMPLATE)
