"""Token ids to text as they come: characters never split, stop strings never shown.

Pure; knows the vocabulary's bytes and nothing of requests.
"""

import codecs
from collections.abc import Sequence

from services.serving.vocabulary import Vocabulary


class Detokenizer:
    """The text of one answer, token by token.

    Works on bytes, so that a long run of them that is no text costs no more than text does.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._at_start = vocabulary.drops_first_space

    def feed(self, token_id: int) -> str:
        """Takes one id and returns the text that it completes.

        An unfinished character stays back, for good if the answer ends there; bytes that cannot
        become one are shown as U+FFFD.
        """
        found = self._vocabulary.shown_bytes(token_id)
        if self._at_start and found:
            self._at_start = False
            found = found.removeprefix(b" ")
        return self._decoder.decode(found)


class StopScanner:
    """Finds stop strings in text that comes in pieces, and keeps back what may begin one."""

    def __init__(self, stop_strings: Sequence[str]) -> None:
        self._stops = tuple(stop_strings)
        self._held = ""

    def feed(self, text: str) -> tuple[str, str]:
        """Returns the text that may be shown, and the stop string found ("" for none).

        Of several, the one that is complete first wins, and among those the longest: so the answer
        does not depend on how the text came in pieces. After a find the rest is dropped.
        """
        if not self._stops:
            return text, ""
        held = self._held + text
        found = [
            (start + len(stop), -len(stop), stop)
            for stop in self._stops
            if (start := held.find(stop)) >= 0
        ]
        if found:
            end, _, stop = min(found)
            self._held = ""
            return held[: end - len(stop)], stop
        keep = self._overlap(held)
        self._held = held[len(held) - keep :]
        return held[: len(held) - keep], ""

    def finish(self) -> str:
        """Returns what was kept back."""
        held, self._held = self._held, ""
        return held

    def _overlap(self, text: str) -> int:
        """Length of the longest end of `text` that begins a stop string."""
        longest = max(map(len, self._stops)) - 1
        return next(
            (
                size
                for size in range(min(longest, len(text)), 0, -1)
                if any(stop.startswith(text[-size:]) for stop in self._stops)
            ),
            0,
        )
