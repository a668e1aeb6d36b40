"""Rows as token ids with a mark on what shall be learnt, in the order of the training.

Knows nothing of models or of how they are trained.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random

from training.data.rows import Row
from training.errors import DataError
from training.lessons import Lessons, rounds
from training.tuning.chats import Chats
from training.tuning.recipe import TuningRecipe

REPLAY_SHARE = 0.2
"""Dialogues of the starter's own for each row, so that it forgets little."""
_REPLAY_TURNS_MAX = 2
_STRETCH_BATCHES = 8


@dataclass(frozen=True)
class Encoded:
    """Ids, and a 1 for each that shall be learnt."""

    ids: list[int]
    mask: list[int]


def encode_all(
    chats: Chats, lessons: Lessons, recipe: TuningRecipe, is_starter: bool
) -> list[Encoded]:
    """Every example of the training in order; the same arguments give the same examples.

    Raises DataError when nothing that could be learnt fits the longest context.
    """
    found: list[Encoded] = []
    replay = _replay(chats, recipe.seed) if is_starter else None
    for rows in islice(rounds(lessons, recipe.seed), recipe.rounds):
        new = [example for row in rows for example in _encode(chats, row, recipe.tokens_max)]
        if replay is not None:
            new += islice(replay, max(1, int(len(new) * REPLAY_SHARE)))
        found += new
    if not found:
        raise DataError(
            "DATASET_INVALID",
            f"every prompt is longer than {recipe.tokens_max} tokens, so that no answer can be "
            "learnt: shorten the rows.",
        )
    return _batched(found, recipe)


def _batched(examples: list[Encoded], recipe: TuningRecipe) -> list[Encoded]:
    """Examples of like length beside each other, so that little is padding; the batches of each
    stretch in random order."""
    rng = Random(f"batches {recipe.seed}")
    size = recipe.batch_rows
    found: list[Encoded] = []
    for start in range(0, len(examples), size * _STRETCH_BATCHES):
        stretch = sorted(
            examples[start : start + size * _STRETCH_BATCHES], key=lambda example: len(example.ids)
        )
        batches = [stretch[at : at + size] for at in range(0, len(stretch), size)]
        rest = batches.pop() if len(batches[-1]) < size else []
        rng.shuffle(batches)
        batches.append(rest)
        found += [example for batch in batches for example in batch]
    return found


def _encode(chats: Chats, row: Row, tokens_max: int) -> Iterator[Encoded]:
    """One example for each answer of a row; what is longer than the context is cut."""
    if not row.messages:
        ids = [*chats.encode_text(row.answer), chats.end_id]
        yield from _cut(ids, [1] * len(ids), tokens_max)
        return
    for messages, answer in _answers(row):
        prompt, answered = chats.answered(messages, answer)
        if len(prompt) < tokens_max:
            mask = [0] * len(prompt) + [1] * len(answered)
            yield from _cut([*prompt, *answered], mask, tokens_max)


def _cut(ids: list[int], mask: list[int], tokens_max: int) -> Iterator[Encoded]:
    if len(ids) > 1:
        yield Encoded(ids[:tokens_max], mask[:tokens_max])


def _answers(row: Row) -> Iterator[tuple[Sequence[tuple[str, str]], str]]:
    for at, (role, words) in enumerate(row.messages):
        if role == "assistant":
            yield row.messages[:at], words
    yield row.messages, row.answer


def _replay(chats: Chats, seed: int) -> Iterator[Encoded]:
    from training.dialogues import training_dialogues

    for dialogue in training_dialogues(seed):
        turns = [(message.role, message.content) for message in dialogue.messages]
        if sum(role == "user" for role, _ in turns) <= _REPLAY_TURNS_MAX:
            prompt, answered = chats.answered(turns[:-1], turns[-1][1])
            yield Encoded([*prompt, *answered], [0] * len(prompt) + [1] * len(answered))
