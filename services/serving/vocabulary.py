"""What each token stands for, in bytes.

Byte-level vocabularies (GPT-2's alphabet, used by Llama 3, Qwen and our own) and SentencePiece's
(with `\\u2581` for a space and `<0x00>` for bytes) are known, by the tokenizer's own decoder. Knows
nothing of prompts or answers.
"""

import json
import re
from typing import Any

from tokenizers import Tokenizer

SPACE = "\u2581"
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class Vocabulary:
    """The bytes of one tokenizer's tokens; they need not be whole characters."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._special = {
            token_id
            for token_id, token in tokenizer.get_added_tokens_decoder().items()
            if token.special
        }
        decoder = json.loads(tokenizer.to_str())["decoder"] or {}
        kinds = {part["type"]: part for part in _parts(decoder)}
        self._byte_level = "ByteLevel" in kinds
        self.drops_first_space = "Strip" in kinds or (
            kinds.get("Metaspace", {}).get("prepend_scheme", "never") != "never"
        )
        self._shown: dict[int, bytes] = {}

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of a token; a special one gives its name, an unknown one nothing."""
        token = self._tokenizer.id_to_token(token_id)
        return b"" if token is None else self._decode(token)

    def shown_bytes(self, token_id: int) -> bytes:
        """What a token adds to an answer: its bytes, and nothing for a special one."""
        known = self._shown.get(token_id)
        if known is None:
            known = b"" if token_id in self._special else self.token_bytes(token_id)
            self._shown[token_id] = known
        return known

    def _decode(self, token: str) -> bytes:
        if self._byte_level:
            if all(character in _BYTE_OF for character in token):
                return bytes(_BYTE_OF[character] for character in token)
            return token.encode()
        if match := _BYTE.fullmatch(token):
            return bytes.fromhex(match[1])
        return token.replace(SPACE, " ").encode()


def _parts(decoder: dict[str, Any]) -> list[dict[str, Any]]:
    return decoder["decoders"] if decoder.get("type") == "Sequence" else [decoder] * bool(decoder)


def _byte_alphabet() -> dict[str, int]:
    """Byte-level BPE's characters for the 256 bytes (GPT-2's `bytes_to_unicode`)."""
    shown = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in shown]
    alphabet = {chr(byte): byte for byte in shown}
    return alphabet | {chr(256 + index): byte for index, byte in enumerate(hidden)}


_BYTE_OF: dict[str, int] = _byte_alphabet()
