"""Dialogues and exercises as token ids, with a mark on each id that shall be learnt.

Knows the template's markers; knows nothing of topics or models.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from tokenizers import Tokenizer

from training.dialogues import Dialogue
from training.exercises import Piece
from training.tokenizer import TURN_END_ID, TURN_START_ID, encode_chat, encode_text


@dataclass(frozen=True)
class Example:
    """One dialogue or exercise as ids, and for each id whether the model shall learn to say it."""

    ids: tuple[int, ...]
    learnt: tuple[bool, ...]


def encode_dialogue(tokenizer: Tokenizer, dialogue: Dialogue) -> Example:
    """Every assistant turn is learnt, its end marker included; nothing else is."""
    ids = encode_chat(tokenizer, [asdict(message) for message in dialogue.messages], False)
    learnt = [False] * len(ids)
    for start, end in _assistant_turns(tokenizer, ids):
        learnt[start:end] = [True] * (end - start)
    return Example(tuple(ids), tuple(learnt))


def encode_exercise(tokenizer: Tokenizer, pieces: Iterable[Piece]) -> Example:
    """An assistant turn without an end, of which the second part of each piece is learnt."""
    ids = [TURN_START_ID, *encode_text(tokenizer, "assistant\n")]
    learnt = [False] * len(ids)
    for given, wanted in pieces:
        for text, is_learnt in ((given, False), (wanted, True)):
            part = encode_text(tokenizer, text)
            ids += part
            learnt += [is_learnt] * len(part)
    return Example(tuple(ids), tuple(learnt))


def _assistant_turns(tokenizer: Tokenizer, ids: list[int]) -> Iterator[tuple[int, int]]:
    header = [TURN_START_ID, *encode_text(tokenizer, "assistant\n")]
    for at, token in enumerate(ids):
        if token == TURN_START_ID and ids[at : at + len(header)] == header:
            start = at + len(header)
            yield start, ids.index(TURN_END_ID, start) + 1
