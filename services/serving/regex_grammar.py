"""A regular expression to an expression of the engine's grammar language (xgrammar's EBNF).

Python's own parser reads the expression, so its dialect is Python's, with `\\d`, `\\w` and `\\s` in
ASCII. What a grammar cannot say (look-around, back references, flags) is refused. The whole text
must match; `^` and `$` at the ends change nothing. Pure; knows nothing of JSON Schema or requests.
"""

import json
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from re import _constants as ops  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

# A product of nested repeats; beyond, compiling takes long, and every running answer waits for it.
REPEAT_MAX = 2000

Ranges = list[tuple[int, int]]

# All characters, cut where the first byte or the length of UTF-8 changes: over such an edge the
# engine would also take bytes that are no character.
CHARACTERS: Ranges = [
    (0x00, 0x7F),
    (0x80, 0x7FF),
    (0x800, 0xFFF),
    (0x1000, 0xCFFF),
    (0xD000, 0xD7FF),
    (0xE000, 0xFFFF),
    (0x10000, 0x3FFFF),
    (0x40000, 0xFFFFF),
    (0x100000, 0x10FFFF),
]
CATEGORIES: dict[Any, Ranges] = {
    ops.CATEGORY_DIGIT: [(48, 57)],
    ops.CATEGORY_WORD: [(48, 57), (65, 90), (95, 95), (97, 122)],
    ops.CATEGORY_SPACE: [(9, 13), (32, 32)],
}
NEGATED = {
    ops.CATEGORY_NOT_DIGIT: ops.CATEGORY_DIGIT,
    ops.CATEGORY_NOT_WORD: ops.CATEGORY_WORD,
    ops.CATEGORY_NOT_SPACE: ops.CATEGORY_SPACE,
}
STARTS = {ops.AT_BEGINNING, ops.AT_BEGINNING_STRING}
ENDS = {ops.AT_END, ops.AT_END_STRING}
# Inside a JSON string: what stands for itself, and what is written with a backslash.
JSON_PLAIN: Ranges = [(32, 33), (35, 91), (93, 126), (160, 0x10FFFF)]
JSON_ESCAPED = '"\\\b\f\n\r\t'


class GrammarError(ValueError):
    """What is asked cannot be put into a grammar; the words say why, for the caller."""


def literal(text: str) -> str:
    """The expression that matches `text` and nothing else."""
    return '"' + "".join(map(_escape, text)) + '"'


def either(options: Sequence[str]) -> str:
    """The expression that matches what one of the options does."""
    return options[0] if len(options) == 1 else f"({' | '.join(options)})"


def regex_expression(text: str) -> str:
    """The expression for plain text. Raises GrammarError."""
    return _compile(text, _character_class)


def json_regex_expression(text: str) -> str:
    """The expression for what stands between the quotes of a JSON string. Raises GrammarError."""
    return _compile(text, json_class)


def json_class(ranges: Ranges) -> str:
    """One character of a JSON string, escaped where JSON wants it."""
    plain = _intersect(ranges, JSON_PLAIN)
    escapes = [c for c in JSON_ESCAPED if any(low <= ord(c) <= high for low, high in ranges)]
    options = [_character_class(plain)] if _intersect(plain, CHARACTERS) else []
    options += [literal(json.dumps(character)[1:-1]) for character in escapes]
    if not options:
        raise GrammarError("a class of characters is empty")
    return either(options)


def _compile(text: str, render: Callable[[Ranges], str]) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parsed = parser.parse(text)
        if parsed.state.flags & ~re.UNICODE.value:
            raise GrammarError("flags are not supported")
        return _Regex(render).sequence(list(parsed), 1, True, True)
    except (re.error, OverflowError) as error:
        raise GrammarError(str(error)[:200]) from None
    except RecursionError:
        raise GrammarError("the regular expression is nested too deep") from None


class _Regex:
    """Walks the parsed form. `times` is the product of the repeats around; `first` and `last` say
    that nothing comes before or after."""

    def __init__(self, render: Callable[[Ranges], str]) -> None:
        self._render = render

    def sequence(self, tokens: Sequence[Any], times: int, first: bool, last: bool) -> str:
        """Tokens one after another."""
        end = len(tokens) - 1
        parts = [
            self._token(op, argument, times, first and index == 0, last and index == end)
            for index, (op, argument) in enumerate(tokens)
        ]
        return " ".join(filter(None, parts)) or '""'

    def _token(self, op: Any, argument: Any, times: int, first: bool, last: bool) -> str:
        if op is ops.LITERAL:
            return self._render([(argument, argument)])
        if op in (ops.IN, ops.ANY, ops.NOT_LITERAL):
            return self._render(_members(op, argument))
        if op in (ops.MAX_REPEAT, ops.MIN_REPEAT):
            return self._repeat(*argument, times)
        if op is ops.BRANCH:
            options = [self.sequence(list(o), times, first, last) for o in argument[1]]
            return either(options)
        if op is ops.SUBPATTERN:
            _, added, removed, inner = argument
            if added or removed:
                raise GrammarError("flags are not supported")
            return f"({self.sequence(list(inner), times, first, last)})"
        if op is ops.AT and ((first and argument in STARTS) or (last and argument in ENDS)):
            return ""
        name = argument if op is ops.AT else op
        raise GrammarError(f"{str(name).lower().replace('_', ' ')} is not supported")

    def _repeat(self, low: int, high: Any, inner: Any, times: int) -> str:
        most = low if high is ops.MAXREPEAT else high
        times *= max(most, 1)
        if times > REPEAT_MAX:
            raise GrammarError(f"its repeats multiply to more than {REPEAT_MAX}")
        upper = "" if high is ops.MAXREPEAT else high
        return f"({self.sequence(list(inner), times, False, False)}){{{low},{upper}}}"


def _members(op: Any, argument: Any) -> Ranges:
    """The characters that a class matches."""
    if op is ops.ANY:
        return _complement([(10, 10)])
    if op is ops.NOT_LITERAL:
        return _complement([(argument, argument)])
    negated = argument[0][0] is ops.NEGATE
    found: Ranges = []
    for kind, value in argument[negated:]:
        if kind is ops.LITERAL:
            found.append((value, value))
        elif kind is ops.RANGE:
            found.append(value)
        elif value in CATEGORIES:
            found += CATEGORIES[value]
        else:
            found += _complement(CATEGORIES[NEGATED[value]])
    return _complement(found) if negated else found


def _complement(ranges: Iterable[tuple[int, int]]) -> Ranges:
    gaps: Ranges = []
    start = 0
    for low, high in sorted(ranges):
        if low > start:
            gaps.append((start, low - 1))
        start = max(start, high + 1)
    return [*gaps, (start, 0x10FFFF)]


def _intersect(left: Ranges, right: Ranges) -> Ranges:
    return [(max(a, c), min(b, d)) for a, b in left for c, d in right if max(a, c) <= min(b, d)]


def _character_class(ranges: Ranges) -> str:
    ranges = _intersect(ranges, CHARACTERS)
    if not ranges:
        raise GrammarError("a class of characters is empty")
    if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        return literal(chr(ranges[0][0]))
    return "[" + "".join(f"{_code(low)}-{_code(high)}" for low, high in sorted(ranges)) + "]"


def _escape(character: str) -> str:
    return character if character.isascii() and character.isalnum() else _code(ord(character))


def _code(point: int) -> str:
    if point < 0x80 and chr(point).isalnum():
        return chr(point)
    # Not \x: the engine reads as many hexadecimal digits after it as there are.
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"
