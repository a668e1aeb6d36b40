"""Conversations as token ids, as serving encodes them, for any model folder with a chat template.

A control token has its meaning only where the template wrote it: in what a person wrote it is
encoded as the plain characters it is made of. Knows nothing of training.
"""

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from training.data.rows import Row
from training.errors import JobFailure

if TYPE_CHECKING:
    pass

Turn = tuple[str, str]

_MARK = "\ufdd0"
"""A code point that no text has, put inside control tokens that people wrote."""


class Chats:
    """A model folder's tokenizer and chat template."""

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer
        from transformers import PreTrainedTokenizerFast

        self.tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(
            folder, local_files_only=True
        )
        template = folder / "chat_template.jinja"
        if template.exists():
            self.tokenizer.chat_template = template.read_text(encoding="utf-8")
        self._plain: Tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._plain.encode_special_tokens = True
        self._plain.no_padding()
        self._plain.no_truncation()

    @property
    def end_id(self) -> int:
        """The token that ends an answer."""
        found = self.tokenizer.eos_token_id
        if found is None:
            raise JobFailure(
                "NO_END_TOKEN", "the base's tokenizer names no eos_token: use another base."
            )
        return int(found)

    @property
    def pad_id(self) -> int:
        """The token that fills up; the end's where there is none of its own."""
        found = self.tokenizer.pad_token_id
        return self.end_id if found is None else int(found)

    def encode(self, messages: Sequence[Turn], add_generation_prompt: bool) -> list[int]:
        """Ids of messages in the template's words."""
        if not self.tokenizer.chat_template:
            raise JobFailure(
                "NO_CHAT_TEMPLATE",
                "the base has no chat template: train it on plain text, or use another base.",
            )
        marked = [{"role": role, "content": self._marked(words)} for role, words in messages]
        text = self.tokenizer.apply_chat_template(
            marked, tokenize=False, add_generation_prompt=add_generation_prompt
        )
        ids: list[int] = []
        end = 0
        for control in self._control.finditer(str(text)):
            ids += self.encode_text(str(text)[end : control.start()])
            ids.append(self._plain.token_to_id(control[0]))
            end = control.end()
        return ids + self.encode_text(str(text)[end:])

    def encode_text(self, text: str) -> list[int]:
        """Ids of plain text."""
        return self._plain.encode(text.replace(_MARK, ""), add_special_tokens=False).ids

    def prompt(self, row: Row) -> list[int]:
        """What the model sees before it answers a row."""
        return self.encode(row.messages, True)

    def answered(self, messages: Sequence[Turn], answer: str) -> tuple[list[int], list[int]]:
        """Ids of a prompt, and of its answer with the end of its turn."""
        prompt = self.encode(messages, True)
        whole = self.encode([*messages, ("assistant", answer)], False)
        if whole[: len(prompt)] != prompt:
            # A template that writes the prompt otherwise once there is an answer.
            return prompt, [*self.encode_text(answer), self.end_id]
        ids = whole[len(prompt) :]
        if self.end_id in ids:  # Some templates write a line's end after the turn's.
            ids = ids[: ids.index(self.end_id) + 1]
        return prompt, ids

    def decode(self, ids: Sequence[int]) -> str:
        """The words of an answer's ids."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    @cached_property
    def _control(self) -> re.Pattern[str]:
        special = [t.content for t in self._plain.get_added_tokens_decoder().values() if t.special]
        longest_first = sorted(special, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def _marked(self, words: str) -> str:
        clean = words.replace(_MARK, "")
        return self._control.sub(lambda found: found[0][0] + _MARK + found[0][1:], clean)
