"""What feedback is: one person's word on one answer, and where that answer came from.

Plain frozen values. Knows no database and no wire.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

SYSTEM, USER, ASSISTANT = "system", "user", "assistant"


class Rating(StrEnum):
    """What a person thinks of an answer."""

    GOOD = "good"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation. `role` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Origin:
    """The version that gave an answer. The last two are empty where they are not known."""

    model: str
    version: int
    run_id: str = ""
    dataset_digest: str = ""


@dataclass(frozen=True, slots=True)
class Word:
    """What one person says of one choice of an answer. `conversation` ends with the answer."""

    given_by: str
    response_id: str
    choice: int
    rating: Rating
    correction: str = ""
    reason: str = ""
    conversation: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A word that is kept. `id` is larger for what was said later."""

    id: int
    time: datetime
    word: Word
    origin: Origin


@dataclass(frozen=True, slots=True)
class Filter:
    """Which entries are asked for; what is empty asks nothing."""

    model: str = ""
    response_id: str = ""
    dataset_digest: str = ""
