"""Conversations and texts to token ids, with what users write kept apart from what the template
means.

A control token such as `<|im_start|>` has its meaning only where the chat template wrote it. In
what a user or a caller wrote it is encoded as the plain characters it is made of. Control tokens
are those that the tokenizer calls special.
"""

import json
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from services.rpc.errors import FailedPrecondition, InvalidArgument
from services.serving.vocabulary import Vocabulary

# A code point that Unicode keeps for a program's own use, put inside control tokens that users
# wrote so that the template's own can be told from them after rendering. Taken out again before
# encoding. Where users wrote it all the same, one more of it in a row than they did is what marks.
MARK = "\ufdd0"
_MARKS = re.compile(f"{MARK}+")


class Prompts:
    """One model's tokenizer and chat template. Safe to use from several threads."""

    def __init__(self, tokenizer_file: Path, template: str, special_tokens: dict[str, str]) -> None:
        self.tokenizer = Tokenizer.from_file(str(tokenizer_file))
        self._plain = Tokenizer.from_file(str(tokenizer_file))
        self._plain.encode_special_tokens = True
        for tokenizer in (self.tokenizer, self._plain):
            tokenizer.no_padding()
            tokenizer.no_truncation()
        self.vocabulary = Vocabulary(self.tokenizer)
        controls = [
            token.content
            for token in self.tokenizer.get_added_tokens_decoder().values()
            if token.special
        ]
        self._control = re.compile(
            "|".join(map(re.escape, sorted(controls, key=len, reverse=True))) or r"(?!)"
        )
        self._template = _environment().from_string(template) if template else None
        self._special_tokens = special_tokens

    def encode_text(self, text: str) -> list[int]:
        """Ids of plain text, begun as the model's texts begin. Raises InvalidArgument when nothing
        is left of it."""
        return _some(self._plain.encode(text).ids)

    def encode_conversation(self, messages: Sequence[tuple[str, str]]) -> list[int]:
        """Ids of (role, content) pairs in the template's words, ready for the answer.

        Raises FailedPrecondition when the model has no template, InvalidArgument when it refuses
        them.
        """
        mark = _mark_for([content for _, content in messages])
        marked = [
            {"role": role, "content": self._mark(content, mark)} for role, content in messages
        ]
        return _some(self._encode_rendered(self._render(marked), mark))

    def _render(self, messages: list[dict[str, str]]) -> str:
        if self._template is None:
            raise FailedPrecondition(
                "This model has no chat template. Send plain text to /v1/completions instead.",
                reason="NO_CHAT_TEMPLATE",
            )
        try:
            return self._template.render(
                messages=messages, add_generation_prompt=True, **self._special_tokens
            )
        except TemplateError as error:
            raise InvalidArgument(
                f"The model's chat template refuses these messages: {str(error)[:200]}",
                reason="TEMPLATE_REFUSED",
                metadata={"field": "conversation"},
            ) from None

    def _mark(self, content: str, mark: str) -> str:
        return self._control.sub(lambda found: found[0][0] + mark + found[0][1:], content)

    def _encode_rendered(self, text: str, mark: str) -> list[int]:
        if mark not in text:
            return self.tokenizer.encode(text, add_special_tokens=False).ids
        ids: list[int] = []
        end = 0
        for control in self._control.finditer(text):
            ids += self._encode_marked(text[end : control.start()], mark)
            ids.append(self.tokenizer.token_to_id(control[0]))
            end = control.end()
        return ids + self._encode_marked(text[end:], mark)

    def _encode_marked(self, text: str, mark: str) -> list[int]:
        return self._plain.encode(text.replace(mark, ""), add_special_tokens=False).ids


def _mark_for(contents: Sequence[str]) -> str:
    """A mark that none of these holds."""
    runs = (len(run) for content in contents for run in _MARKS.findall(content))
    return MARK * (1 + max(runs, default=0))


def read_prompts(folder: Path) -> Prompts:
    """Reads the tokenizer and the chat template of a model folder in the Hugging Face layout."""
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    template_file = folder / "chat_template.jinja"
    template = (
        template_file.read_text(encoding="utf-8")
        if template_file.exists()
        else _default_template(config.get("chat_template"))
    )
    specials = {
        name: value["content"] if isinstance(value, dict) else value
        for name, value in config.items()
        if name.endswith("_token") and isinstance(value, dict | str)
    }
    return Prompts(folder / "tokenizer.json", template, specials)


def _default_template(found: Any) -> str:
    """A configuration holds one template, or a list of named ones."""
    if isinstance(found, list):
        named = {one["name"]: one["template"] for one in found}
        return named.get("default", "")
    return found or ""


def _some(ids: list[int]) -> list[int]:
    if not ids:
        raise InvalidArgument(
            "The prompt has no tokens.", reason="INVALID_FIELD", metadata={"field": "prompt"}
        )
    return ids


def _environment() -> ImmutableSandboxedEnvironment:
    """The environment that chat templates are written for (transformers' documentation on chat
    templates)."""

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    environment.filters["tojson"] = lambda value, **options: json.dumps(
        value, ensure_ascii=False, **options
    )
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment
