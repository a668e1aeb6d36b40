"""A regular expression as rules of the engine's grammar language (xgrammar's EBNF).

Python's own parser reads the expression, so its dialect is Python's, with `\\d`, `\\w`, `\\s` and
their opposites in ASCII. What a grammar cannot say (look-around, back references, flags) is
refused. The whole text must match; `^` and `$` at the ends change nothing. Pure; knows nothing of
JSON Schema or requests.
"""

import json
import re
import threading
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from re import _constants as ops  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

from services.serving.automaton import Automaton, AutomatonError, Ranges, State

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
# In ASCII. What lies beyond is in none of them, as in JavaScript, and in none of their opposites,
# as in Python: by either reading, what comes out matches.
ASCII: Ranges = [(0x00, 0x7F)]
BEYOND: Ranges = [(0x80, 0x10FFFF)]
CATEGORIES: dict[Any, Ranges] = {
    ops.CATEGORY_DIGIT: [(48, 57)],
    ops.CATEGORY_WORD: [(48, 57), (65, 90), (95, 95), (97, 122)],
    ops.CATEGORY_SPACE: [(9, 13), (32, 32)],
}
OPPOSITES = {
    ops.CATEGORY_NOT_DIGIT: ops.CATEGORY_DIGIT,
    ops.CATEGORY_NOT_WORD: ops.CATEGORY_WORD,
    ops.CATEGORY_NOT_SPACE: ops.CATEGORY_SPACE,
}
STARTS = {ops.AT_BEGINNING, ops.AT_BEGINNING_STRING}
ENDS = {ops.AT_END, ops.AT_END_STRING}
# Inside a JSON string: what stands for itself, and what is written with a backslash.
JSON_PLAIN: Ranges = [(32, 33), (35, 91), (93, 126), (160, 0x10FFFF)]
JSON_ESCAPED = '"\\\b\f\n\r\t'
# The engine reads a hundred characters in about a millisecond, and all running answers wait.
RULES_CHARS_MAX = 100_000

_parsing = threading.Lock()


class GrammarError(ValueError):
    """What is asked cannot be put into a grammar; the words say why, for the caller."""


def regex_rules(text: str, name: str) -> list[str]:
    """Rules for what the expression matches; the first is called `name`, the others begin so.

    Raises GrammarError.
    """
    return _rules(regex_states(text), name, _character_class)


def json_regex_rules(text: str, name: str) -> list[str]:
    """The same for what stands between the quotes of a JSON string."""
    return _rules(regex_states(text), name, json_class)


def literal(text: str) -> str:
    """The expression that matches `text` and nothing else."""
    return '"' + "".join(map(_escape, text)) + '"'


def either(options: Sequence[str]) -> str:
    """The expression that matches what one of the options does."""
    return options[0] if len(options) == 1 else f"({' | '.join(options)})"


def json_class(ranges: Ranges) -> str:
    """One character of a JSON string, escaped where JSON wants it, "" if none can."""
    escapes = [c for c in JSON_ESCAPED if any(low <= ord(c) <= high for low, high in ranges)]
    options = [_character_class(_intersect(ranges, JSON_PLAIN))]
    options += [literal(json.dumps(character)[1:-1]) for character in escapes]
    options = [option for option in options if option]
    return either(options) if options else ""


def regex_states(text: str) -> list[State]:
    """The automaton of the texts that the expression matches, its start first. Raises
    GrammarError."""
    try:
        # Changes a setting of the whole process, and several threads come here.
        with _parsing, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parsed = parser.parse(text)
        if parsed.state.flags & ~re.UNICODE.value:
            raise GrammarError("flags are not supported")
        automaton = Automaton()
        end = _Regex(automaton).sequence(list(parsed), True, True, automaton.start)
        return automaton.deterministic(end)
    except (re.error, OverflowError, AutomatonError) as error:
        raise GrammarError(str(error)[:200]) from None
    except RecursionError:
        raise GrammarError("it is nested too deep") from None


def _rules(states: list[State], name: str, render: Callable[[Ranges], str]) -> list[str]:
    """One rule for each state: a character and then the rule of the state it leads to."""
    names = [name, *(f"{name}x{number}" for number in range(1, len(states)))]
    classes: dict[str, str] = {}
    rules = []
    for own, state in zip(names, states, strict=True):
        options = ['""'] if state.ends else []
        for target, ranges in state.moves.items():
            if characters := render(ranges):
                shared = classes.setdefault(characters, f"{name}c{len(classes)}")
                options.append(f"{shared} {names[target]}")
        rules.append(f"{own} ::= {' | '.join(options)}")
        if not options:
            raise GrammarError("it needs a character that cannot be written")
    rules += [f"{shared} ::= {characters}" for characters, shared in classes.items()]
    if sum(map(len, rules)) > RULES_CHARS_MAX:
        raise GrammarError("it is too large")
    return rules


class _Regex:
    """Walks the parsed form into an automaton. `first` and `last` say that nothing comes before or
    after."""

    def __init__(self, automaton: Automaton) -> None:
        self._automaton = automaton

    def sequence(self, tokens: Sequence[Any], first: bool, last: bool, state: int) -> int:
        """Tokens one after another, from a state on; returns the state they end in."""
        end = len(tokens) - 1
        for index, (op, argument) in enumerate(tokens):
            state = self._token(op, argument, first and index == 0, last and index == end, state)
        return state

    def _token(self, op: Any, argument: Any, first: bool, last: bool, state: int) -> int:
        if op in (ops.LITERAL, ops.IN, ops.ANY, ops.NOT_LITERAL):
            return self._automaton.take(state, _members(op, argument))
        if op in (ops.MAX_REPEAT, ops.MIN_REPEAT):
            low, high, inner = argument
            way = partial(self.sequence, list(inner), False, False)
            return self._automaton.repeat(state, way, low, None if high is ops.MAXREPEAT else high)
        if op is ops.BRANCH:
            ways = [partial(self.sequence, list(inner), first, last) for inner in argument[1]]
            return self._automaton.choose(state, ways)
        if op is ops.SUBPATTERN:
            _, added, removed, inner = argument
            if added or removed:
                raise GrammarError("flags are not supported")
            return self.sequence(list(inner), first, last, state)
        if op is ops.AT and ((first and argument in STARTS) or (last and argument in ENDS)):
            return state
        name = argument if op is ops.AT else op
        raise GrammarError(f"{str(name).lower().replace('_', ' ')} is not supported")


def _members(op: Any, argument: Any) -> Ranges:
    """The characters that a class matches."""
    if op is ops.LITERAL:
        return [(argument, argument)]
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
        else:
            found += _category(value) + (BEYOND if negated else [])
    return _complement(found) if negated else found


def _category(name: Any) -> Ranges:
    if name in CATEGORIES:
        return CATEGORIES[name]
    return _intersect(_complement(CATEGORIES[OPPOSITES[name]]), ASCII)


def _complement(ranges: Iterable[tuple[int, int]]) -> Ranges:
    gaps: Ranges = []
    start = 0
    for low, high in sorted(ranges):
        if low > start:
            gaps.append((start, low - 1))
        start = max(start, high + 1)
    return [*gaps, (start, 0x10FFFF)] if start <= 0x10FFFF else gaps


def _intersect(left: Ranges, right: Ranges) -> Ranges:
    return [(max(a, c), min(b, d)) for a, b in left for c, d in right if max(a, c) <= min(b, d)]


def _character_class(ranges: Ranges) -> str:
    ranges = sorted(_intersect(ranges, CHARACTERS))
    if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        return literal(chr(ranges[0][0]))
    members = "".join(f"{_code(low)}-{_code(high)}" for low, high in ranges)
    return members and f"[{members}]"


def _escape(character: str) -> str:
    return character if character.isascii() and character.isalnum() else _code(ord(character))


def _code(point: int) -> str:
    if point < 0x80 and chr(point).isalnum():
        return chr(point)
    # Not \x: the engine reads as many hexadecimal digits after it as there are.
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"
