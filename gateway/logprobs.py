"""Log probabilities in the two shapes of the OpenAI wire.

The engine gives the sampled token only, so there are no alternatives to list. A token's bytes are
exact; its text has U+FFFD where they are part of a character only.
"""

from codecs import getincrementaldecoder
from collections.abc import Sequence
from typing import Any, Protocol

from parley.serving.v1.model_serving_pb2 import TokenLogprob

# OpenAI's own stand-in for a probability too small to give; -inf is no JSON.
LOGPROB_MIN = -9999.0
_Decoder = getincrementaldecoder("utf-8")


class Logprobs(Protocol):
    """One choice's log probabilities; may remember what came before."""

    def render(self, tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
        """The tokens as the value of `logprobs`."""
        ...


class ChatLogprobs:
    """`logprobs.content` of Chat Completions."""

    def render(self, tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
        """One entry for each token."""
        return {"content": [_entry(token) for token in tokens], "refusal": None}


class TextLogprobs:
    """The parallel lists of Completions, with each token's offset in the answer in characters."""

    def __init__(self) -> None:
        self._decoder = _Decoder("replace")
        self._offset = 0

    def render(self, tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
        """One element of each list for each token."""
        return {
            "tokens": [_text(token) for token in tokens],
            "token_logprobs": [_number(token) for token in tokens],
            "top_logprobs": None,
            "text_offset": [self._pass(token) for token in tokens],
        }

    def _pass(self, token: TokenLogprob) -> int:
        offset = self._offset
        self._offset += len(self._decoder.decode(token.token))
        return offset


def _entry(token: TokenLogprob) -> dict[str, Any]:
    return {
        "token": _text(token),
        "logprob": _number(token),
        "bytes": list(token.token),
        "top_logprobs": [],
    }


def _text(token: TokenLogprob) -> str:
    return token.token.decode(errors="replace")


def _number(token: TokenLogprob) -> float:
    return token.logprob if token.logprob >= LOGPROB_MIN else LOGPROB_MIN
