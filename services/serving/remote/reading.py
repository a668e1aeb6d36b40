"""One answer of another server, chunk by chunk: its text, its tokens, its end. Pure.

The contract numbers tokens, and the facade counts them. Where a server tells no ids, stand-ins
take their place: numbers above any vocabulary, each made of all the answer's text up to it. So a
stand-in is never taken for a token, and an answer that is made again has the same ones only where
it has the same text.
"""

from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from services.serving.remote.failures import Secrets, broke, from_frame, not_understood

STAND_IN = 1 << 31
REASONS = ("stop", "length")


@dataclass(slots=True)
class Piece:
    """What a chunk brought. `tokens` are bytes of tokens, one for each of `logprobs`."""

    ids: list[int] = field(default_factory=list)
    text: str = ""
    logprobs: list[float] = field(default_factory=list)
    tokens: list[bytes] = field(default_factory=list)


class Reading:
    """One answer while it grows."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._hash = 0
        self.count = 0
        self.reason = ""
        self.stop_string = ""
        self.prompt_tokens = 0
        self._tokens: int | None = None

    def take(self, chunk: Any) -> Piece | None:
        """What is new in a chunk, if anything. Raises ParleyError."""
        if not isinstance(chunk, dict):
            raise not_understood("sent a chunk that is no object")
        if chunk.get("error"):
            raise from_frame(chunk["error"], self._secrets)
        self._take_usage(chunk.get("usage"))
        choices = chunk.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict):
            return None
        if self.reason:
            # Some repeat the end along with their usage.
            return None
        piece = self._piece(choice)
        self._take_end(choice)
        self.count += len(piece.ids)
        return piece if piece.ids or piece.text else None

    def finish(self) -> Piece | None:
        """Once the stream has ended: the tokens that had no text. Raises ParleyError unless the
        answer is whole."""
        if not self.reason:
            raise broke("broke off")
        if self._tokens is None:
            raise not_understood("does not count its tokens")
        missing = self._tokens - self.count
        if missing < 0:
            raise not_understood("counts fewer tokens than it sent")
        self.count = self._tokens
        return Piece([self._stand_in(b"")] * missing) if missing else None

    def _piece(self, choice: dict[str, Any]) -> Piece:
        delta = choice.get("delta")
        text = delta.get("content") if isinstance(delta, dict) else choice.get("text")
        piece = Piece(text=text if isinstance(text, str) else "")
        piece.tokens, piece.logprobs = _logprobs(choice.get("logprobs"))
        ids = choice.get("token_ids")
        if isinstance(ids, list) and all(type(one) is int and 0 <= one < STAND_IN for one in ids):
            piece.ids = ids
        elif piece.tokens:
            piece.ids = [self._stand_in(token) for token in piece.tokens]
        elif piece.text:
            piece.ids = [self._stand_in(piece.text.encode(errors="replace"))]
        if len(piece.logprobs) != len(piece.ids):
            piece.logprobs = []
        return piece

    def _stand_in(self, data: bytes) -> int:
        self._hash = crc32(data, self._hash)
        return STAND_IN | (self._hash & (STAND_IN - 1))

    def _take_end(self, choice: dict[str, Any]) -> None:
        reason = choice.get("finish_reason")
        if reason is None:
            return
        if reason == "abort":
            raise broke("was told to end")
        if reason not in REASONS:
            raise not_understood("ended the answer for a reason of its own")
        self.reason = reason
        # vLLM tells which stop string it was; it may be a token's number as well.
        stop = choice.get("stop_reason")
        self.stop_string = stop if isinstance(stop, str) else ""

    def _take_usage(self, usage: Any) -> None:
        if not isinstance(usage, dict):
            return
        prompt, tokens = usage.get("prompt_tokens"), usage.get("completion_tokens")
        if _is_count(prompt) and _is_count(tokens):
            self.prompt_tokens, self._tokens = prompt, tokens


def prompt_tokens(answer: Any) -> int | None:
    """The prompt's tokens by the usage of an answer that was not streamed; None if it has none."""
    usage = answer.get("usage") if isinstance(answer, dict) else None
    found = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    return found if _is_count(found) else None


def _logprobs(told: Any) -> tuple[list[bytes], list[float]]:
    """Bytes and log probability of each token, in the shape of chats or of completions."""
    if not isinstance(told, dict):
        return [], []
    content = told.get("content")
    if isinstance(content, list):
        entries = [entry for entry in content if isinstance(entry, dict)]
        return [_bytes(entry) for entry in entries], [
            _number(entry.get("logprob")) for entry in entries
        ]
    tokens, numbers = told.get("tokens"), told.get("token_logprobs")
    if isinstance(tokens, list) and isinstance(numbers, list) and len(tokens) == len(numbers):
        return [str(token).encode(errors="replace") for token in tokens], [
            _number(number) for number in numbers
        ]
    return [], []


def _bytes(entry: dict[str, Any]) -> bytes:
    told = entry.get("bytes")
    try:
        return bytes(told) if isinstance(told, list) else str(entry.get("token")).encode()
    except (ValueError, TypeError):
        return str(entry.get("token")).encode(errors="replace")


def _number(value: Any) -> float:
    return min(float(value), 0.0) if isinstance(value, int | float) else 0.0


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < STAND_IN
