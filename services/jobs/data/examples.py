"""From feedback to rows of a dataset. Pure: the same feedback makes the same bytes."""

import json
from collections.abc import Iterable, Sequence
from enum import Enum, auto

from services.jobs.data.entries import ASSISTANT, SYSTEM, USER, Entry, Rating, Turn, Word
from services.jobs.data.personal import find_personal
from services.jobs.data.questions import conversation_key

Key = tuple[tuple[str, str], ...]

# What training reads as one row.
LINE_BYTES_MAX = 1 << 20


class LeftOut(Enum):
    """Why an entry makes no row."""

    UNUSABLE = auto()
    PERSONAL = auto()


def read_example(word: Word) -> tuple[Key, bytes] | LeftOut:
    """Reads the question and the row that a word makes, or why it makes none.

    A good answer is learnt as it is, a bad one by its correction.
    """
    turns = [Turn(turn.role, turn.content.strip()) for turn in word.conversation]
    given = turns.pop().content if turns and turns[-1].role == ASSISTANT else ""
    answer = given if word.rating is Rating.GOOD else word.correction.strip()
    row = (*turns, Turn(ASSISTANT, answer))
    line = _to_line(row)
    if not _is_in_turns(row) or len(line) > LINE_BYTES_MAX:
        return LeftOut.UNUSABLE
    if any(find_personal(turn.content) for turn in row):
        return LeftOut.PERSONAL
    return conversation_key(turns), line


def _is_in_turns(row: Sequence[Turn]) -> bool:
    """Whether user and assistant take turns, the user first, after at most one system message."""
    talk = row[1:] if row[0].role == SYSTEM else row
    whose = [turn.role for turn in talk]
    return (
        len(talk) % 2 == 0
        and len(talk) > 0
        and whose == [USER, ASSISTANT] * (len(talk) // 2)
        and all(turn.content for turn in row)
    )


class Collection:
    """The rows of a dataset as they are found. Entries are to come newest first."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._lines: dict[Key, bytes] = {}
        self._bytes = 0
        self._left_out = dict.fromkeys(LeftOut, 0)
        self.duplicates = 0
        self.is_full = False

    def add(self, entries: Iterable[Entry]) -> None:
        """Adds entries, until there is no room."""
        for entry in entries:
            if self.is_full:
                return
            self._add(entry.word)

    def _add(self, word: Word) -> None:
        found = read_example(word)
        if isinstance(found, LeftOut):
            self._left_out[found] += 1
            return
        question, line = found
        if question in self._lines:
            self.duplicates += 1
        elif self._bytes + len(line) > self._bytes_max:
            self.is_full = True
        else:
            self._lines[question] = line
            self._bytes += len(line)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self._lines)

    @property
    def personal(self) -> int:
        """How many entries were left out for personal data."""
        return self._left_out[LeftOut.PERSONAL]

    @property
    def unusable(self) -> int:
        """How many entries have no conversation, or no answer to learn."""
        return self._left_out[LeftOut.UNUSABLE]

    def to_bytes(self) -> bytes:
        """Writes the rows as JSON lines, in an order of their own."""
        return b"".join(sorted(self._lines.values()))


def _to_line(turns: Sequence[Turn]) -> bytes:
    messages = [{"role": turn.role, "content": turn.content} for turn in turns]
    text = json.dumps({"messages": messages}, ensure_ascii=False, separators=(",", ":"))
    return text.encode() + b"\n"
