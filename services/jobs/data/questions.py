"""When two questions are the same one, whoever typed them. Pure.

The rule, which training applies to keep a question on one side of its split for ever, is in
docs/datasets.md; both sides are held to it by tests/data/questions.json.
"""

import unicodedata
from collections.abc import Sequence

from services.jobs.data.entries import Turn

# Ends of sentences. Not all punctuation: "C#" is another question than "C".
TRAILING = ".,;:!?…。、؟؛،।"


def normalise(text: str) -> str:
    """What is left of a question without case, forms of letters, spacing and its last marks."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(folded.split()).rstrip(TRAILING + " ")


def conversation_key(turns: Sequence[Turn]) -> tuple[tuple[str, str], ...]:
    """What makes a question the same: it, and all that was said before it."""
    return tuple((turn.role, normalise(turn.content)) for turn in turns)
