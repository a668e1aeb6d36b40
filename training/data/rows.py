"""The rows of a dataset: what a model is told, and what it shall answer.

Three kinds of data are read: JSON lines with `messages`, JSON lines with `prompt` and `completion`,
and plain text in passages with an empty line between them. Knows nothing of files or models.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, NoReturn

from training.data.lines import Lines
from training.errors import DataError

Kind = Literal["messages", "pairs", "text"]

ROWS_MAX = 500_000
MESSAGES_MAX = 256
CATEGORY_BYTES_MAX = 64


@dataclass(frozen=True)
class Row:
    """One thing to learn."""

    messages: tuple[tuple[str, str], ...]
    """Role and words of each message before the answer; none for plain text."""
    answer: str
    """What the assistant says next; of plain text, the passage."""
    category: str = ""
    """What it is about, where the data say so."""

    @property
    def question(self) -> str:
        """The user's last words; empty for plain text."""
        return self.messages[-1][1] if self.messages else ""


def read_rows(lines: Lines, for_training: bool = True) -> tuple[Kind, Iterator[Row]]:
    """The kind of the data, and its rows as they are read.

    Without `for_training`, rows may end with the user: an answer is not needed. Raises DataError,
    at the row that is wrong.
    """
    numbered = ((number, line) for number, line in lines)
    first = next(((number, line) for number, line in numbered if line.strip()), None)
    if first is None:
        raise DataError("DATASET_EMPTY", "the data are empty: there is not one row in them.")
    rest = chain([first], numbered)
    if not first[1].lstrip().startswith(("{", "[", '"')):
        return "text", _bounded(_passages(rest))
    kind: Kind = "messages" if "messages" in _object(*first) else "pairs"
    return kind, _bounded(_json_rows(rest, kind, for_training))


def _bounded(rows: Iterator[Row]) -> Iterator[Row]:
    for count, row in enumerate(rows, 1):
        if count > ROWS_MAX:
            raise DataError(
                "DATASET_TOO_LARGE", f"there are more than {ROWS_MAX:,} rows: use fewer."
            )
        yield row


def _json_rows(
    numbered: Iterator[tuple[int, str]], kind: Kind, for_training: bool
) -> Iterator[Row]:
    for number, line in numbered:
        if not line.strip():
            continue
        found = _object(number, line)
        category = _category(number, found)
        if kind == "messages":
            yield _chat(number, found, category, for_training)
        else:
            yield _pair(number, found, category, for_training)


def _passages(numbered: Iterator[tuple[int, str]]) -> Iterator[Row]:
    passage: list[str] = []
    for _, line in chain(numbered, [(0, "")]):
        if line.strip():
            passage.append(line.rstrip())
        elif passage:
            yield Row((), "\n".join(passage))
            passage = []


def _object(number: int, line: str) -> dict[str, Any]:
    try:
        found = json.loads(line, parse_constant=_no_constant)
    except RecursionError:
        _wrong(number, "is nested too deeply", "write one flat JSON object")
    except ValueError as error:
        _wrong(number, f"is not JSON: {str(error)[:100]}", "write one JSON object on each line")
    if not isinstance(found, dict):
        _wrong(number, "is not a JSON object", 'write {"messages": [...]} on each line')
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _chat(number: int, found: dict[str, Any], category: str, for_training: bool) -> Row:
    messages = found.get("messages")
    if not isinstance(messages, list) or not messages:
        _wrong(number, "has no list of `messages`", 'write {"messages": [...]} on each line')
    if len(messages) > MESSAGES_MAX:
        _wrong(number, f"has more than {MESSAGES_MAX} messages", "cut it into several rows")
    pairs = tuple(_message(number, at, message) for at, message in enumerate(messages, 1))
    _hold_to_order(number, pairs)
    if pairs[-1][0] == "assistant":
        return Row(pairs[:-1], pairs[-1][1], category)
    if for_training:
        _wrong(number, "does not end with the assistant", "add the answer, or remove the row")
    return Row(pairs, "", category)


def _message(number: int, at: int, message: Any) -> tuple[str, str]:
    if not isinstance(message, dict):
        _wrong(number, f"message {at} is not a JSON object", "give it a role and a content")
    role, content = message.get("role"), message.get("content")
    if role not in ("system", "user", "assistant"):
        _wrong(number, f"message {at} has the role {role!r}"[:80], "use system, user or assistant")
    return role, _words(number, f"the content of message {at}", content)


def _hold_to_order(number: int, messages: tuple[tuple[str, str], ...]) -> None:
    roles = [role for role, _ in messages]
    talk = roles[1:] if roles[0] == "system" else roles
    for at, role in enumerate(talk):
        if role != ("user", "assistant")[at % 2]:
            _wrong(
                number,
                f"message {at + 1 + len(roles) - len(talk)} is from the {role}, out of turn",
                "let user and assistant take turns, the user first, after at most one system "
                "message",
            )
    if not talk:
        _wrong(number, "has only a system message", "add a question and its answer")


def _pair(number: int, found: dict[str, Any], category: str, for_training: bool) -> Row:
    if "prompt" not in found:
        _wrong(number, "has neither `messages` nor `prompt`", "use the same form on each line")
    prompt = _words(number, "`prompt`", found["prompt"])
    if "completion" not in found and not for_training:
        return Row((("user", prompt),), "", category)
    answer = _words(number, "`completion`", found.get("completion"))
    return Row((("user", prompt),), answer, category)


def _category(number: int, found: dict[str, Any]) -> str:
    category = found.get("category", "")
    if not isinstance(category, str) or len(category.encode(errors="replace")) > (
        CATEGORY_BYTES_MAX
    ):
        limit = CATEGORY_BYTES_MAX
        _wrong(number, "has a `category` that is no short text", f"use at most {limit} bytes")
    return category


def _words(number: int, what: str, value: Any) -> str:
    if not isinstance(value, str):
        _wrong(number, f"{what} is not a text", "put it in quotes")
    if not value.strip():
        _wrong(number, f"{what} is empty", "fill it, or remove the row")
    try:
        value.encode()
    except UnicodeEncodeError:
        _wrong(number, f"{what} has half of a surrogate pair", "write the whole character")
    return value.strip()


def _wrong(number: int, what: str, mend: str) -> NoReturn:
    raise DataError("DATASET_INVALID", f"line {number} {what}; {mend}.") from None
