"""Token ids to text as they come: characters never split, stop strings never shown.

Pure; knows the tokenizer's vocabulary and nothing of requests.
"""

from collections.abc import Sequence

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

REPLACEMENT = "\ufffd"


class Detokenizer:
    """The text of one answer, token by token."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)
        self._pending: list[int] = []

    def feed(self, token_ids: Sequence[int]) -> str:
        """Takes new ids and returns the complete text; an unfinished character stays back."""
        return "".join(self._feed_one(token_id) for token_id in token_ids)

    def finish(self) -> str:
        """Returns what is left at the end. Bytes that never became a character are dropped."""
        rest = self._tokenizer.decode(self._pending) if self._pending else ""
        self._pending = []
        return rest.rstrip(REPLACEMENT)

    def _feed_one(self, token_id: int) -> str:
        try:
            text = self._stream.step(self._tokenizer, token_id)
        except Exception:
            # The stream gives up on byte sequences that no text has; what follows starts afresh.
            self._stream = DecodeStream(skip_special_tokens=True)
            text = self._stream.step(self._tokenizer, token_id)
        if text is None:
            self._pending.append(token_id)
            return ""
        self._pending = []
        return text


class StopScanner:
    """Finds stop strings in text that comes in pieces, and keeps back what may begin one."""

    def __init__(self, stop_strings: Sequence[str]) -> None:
        self._stops = tuple(stop_strings)
        self._held = ""

    def feed(self, text: str) -> tuple[str, str]:
        """Returns the text that may be shown, and the stop string found ("" for none).

        Of several, the one that begins first wins, and among those the longest. After a find the
        rest is dropped.
        """
        if not self._stops:
            return text, ""
        held = self._held + text
        found = [(held.find(stop), -len(stop), stop) for stop in self._stops if stop in held]
        if found:
            at, _, stop = min(found)
            self._held = ""
            return held[:at], stop
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
