"""A JSON schema as a grammar of the engine's language (xgrammar's EBNF).

The engine's own reading of JSON Schema passes over keywords, mistakes others, and breaks on some;
with a grammar of ours, what is accepted here is what comes out. An answer may be narrower than the
schema (listed properties only and in their order, no exponent where a number has bounds), never
wider. What cannot be held is refused with its place named. Pure; knows nothing of requests.
"""

import json
from collections import deque
from collections.abc import Callable, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import groupby
from os.path import commonprefix
from typing import Any
from urllib.parse import unquote

from jsonschema import Draft202012Validator

from services.serving.number_grammar import bounded_number
from services.serving.regex_grammar import (
    CHARACTERS,
    GrammarError,
    either,
    json_class,
    json_regex_rules,
    literal,
    regex_rules,
)
from services.serving.schema_keywords import (
    ANNOTATIONS,
    CHOSEN,
    FILTERS,
    KEYWORDS_OF,
    check_keywords,
    is_schema,
    types_of,
)

DEPTH_MAX = 32
# The engine takes about three milliseconds to compile each character that a pattern or a length
# counts, and less for another rule; all running answers wait meanwhile.
COUNT_MAX = 400
COUNTED_MAX = 450
RULES_MAX = 4000

# White space is bounded, or a small model may never come to an end of it.
BASE = f"""ws ::= [ \\n\\t]{{0,20}}
any ::= object | array | string | number | boolean | null
object ::= "{{" ws (string ":" ws any ("," ws string ":" ws any)*)? ws "}}"
array ::= "[" ws (any ("," ws any)*)? ws "]"
string ::= "\\"" character* "\\""
character ::= {json_class(CHARACTERS)}
number ::= integer ("." [0-9]{{1,15}})? ([eE] [-+]? [0-9]{{1,2}})?
integer ::= "-"? ("0" | [1-9] [0-9]{{0,15}})
boolean ::= "true" | "false"
null ::= "null"
"""
JSON_OBJECT = f"root ::= object\n{BASE}"


def schema_grammar(schema: dict[str, Any]) -> str:
    """The grammar of the JSON texts of a schema. Raises GrammarError that names the place."""
    return _Schemas(schema).grammar()


class _Schemas:
    """Makes a rule for the root and each referenced place; most of the rest is written in line."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._names = {"#": "root"}
        self._queue: deque[tuple[str, Any]] = deque([("#", root)])
        self._rules: list[str] = []
        # What a rule may become without a character between; here a circle would never end.
        self._leads: dict[str, set[str]] = {}
        self._rule = ""
        self._counted = 0

    def grammar(self) -> str:
        """Works until nothing that is referenced is missing."""
        while self._queue:
            place, schema = self._queue.popleft()
            self._rule = self._names[place]
            self._leads[self._rule] = set()
            shown = "schema" if place == "#" else place
            self._rules.append(f"{self._rule} ::= {self.value(schema, shown, 0, leading=True)}")
        try:
            TopologicalSorter(self._leads).prepare()
        except CycleError:
            raise GrammarError("schema: its references lead back to themselves") from None
        return "\n".join([*self._rules, BASE])

    def value(self, schema: Any, place: str, depth: int, *, leading: bool = False) -> str:
        """The expression for one schema."""
        if depth > DEPTH_MAX:
            raise GrammarError(f"{place} is nested more than {DEPTH_MAX} deep")
        if schema is False:
            raise GrammarError(f"{place}: nothing is valid here")
        if not is_schema(schema):
            raise GrammarError(f"{place} must be an object or a boolean")
        given = {} if schema is True else {k: v for k, v in schema.items() if k not in ANNOTATIONS}
        check_keywords(given, place)
        if "$ref" in given:
            return self._reference(given["$ref"], place, leading)
        for combined in ("anyOf", "allOf"):
            if combined in given:
                return self._combined(combined, given[combined], place, depth, leading)
        if CHOSEN & given.keys():
            return self._one_of(_chosen(given, place))
        return either([self._typed(name, given, place, depth) for name in types_of(given)])

    def _add(self, rules: list[str]) -> None:
        self._rules += rules
        if len(self._rules) > RULES_MAX:
            raise GrammarError("schema: it is too large")

    def _new_rule(self, expression: str) -> str:
        name = f"part{len(self._rules)}"
        self._add([f"{name} ::= {expression}"])
        return name

    def _reference(self, reference: str, place: str, leading: bool) -> str:
        target = _follow(self._root, reference, place)
        if reference not in self._names:
            self._names[reference] = f"place{len(self._names)}"
            self._queue.append((reference, target))
        if leading:
            self._leads[self._rule].add(self._names[reference])
        return self._names[reference]

    def _combined(
        self, keyword: str, options: list[Any], place: str, depth: int, leading: bool
    ) -> str:
        if keyword == "allOf" and len(options) > 1:
            raise GrammarError(f"{place}.allOf: only one schema can be held there")
        return either(
            [
                self.value(option, f"{place}.{keyword}.{index}", depth + 1, leading=leading)
                for index, option in enumerate(options)
            ]
        )

    def _typed(self, name: str, given: Mapping[str, Any], place: str, depth: int) -> str:
        if not KEYWORDS_OF.get(name, set()) & given.keys():
            return name
        match name:
            case "string":
                return self._string(given, place)
            case "array":
                return self._array(given, place, depth)
            case "object":
                return self._object(given, place, depth)
        bounded = _placed(place, bounded_number, given, whole=name == "integer")
        return self._regex(regex_rules, bounded, place)

    def _regex(self, make: Callable[[str, str], list[str]], text: str, place: str) -> str:
        name = f"part{len(self._rules)}"
        rules = _placed(place, make, text, name)
        self._counted += len(rules)
        if self._counted > COUNTED_MAX:
            raise GrammarError(f"{place}: patterns and lengths add up to too much")
        self._add(rules)
        return name

    def _string(self, given: Mapping[str, Any], place: str) -> str:
        low, high = given.get("minLength", 0), given.get("maxLength")
        pattern = given.get("pattern")
        if pattern is None:
            _check_counts(low, high, f"{place}.minLength")
            pattern = rf"[\s\S]{{{low},{'' if high is None else high}}}"
        elif low or high is not None:
            raise GrammarError(f"{place}: 'pattern' cannot be held beside a length")
        return f'"\\"" {self._regex(json_regex_rules, pattern, f"{place}.pattern")} "\\""'

    def _one_of(self, texts: list[str]) -> str:
        """One of several sorted texts, as a tree in which no two branches begin alike: from others
        the engine makes up texts of its own."""
        shared = commonprefix([texts[0], texts[-1]])  # noqa: RUF071 (texts, not paths)
        branches = [
            list(group) for _, group in groupby(texts, lambda text: text[: len(shared) + 1])
        ]
        if len(branches) == 1:
            return literal(texts[0])
        options = [
            literal(branch[0][len(shared) :])
            if len(branch) == 1
            else self._one_of([text[len(shared) :] for text in branch])
            for branch in branches
        ]
        return f"{literal(shared)} {self._new_rule(' | '.join(options))}"

    def _array(self, given: Mapping[str, Any], place: str, depth: int) -> str:
        most = given.get("maxItems")
        first = given.get("prefixItems", [])[:most]
        items = given.get("items", True)
        high = 0 if items is False else None if most is None else most - len(first)
        low = max(given.get("minItems", 0) - len(first), 0)
        _check_counts(low, high, f"{place}.minItems")
        parts = [
            self.value(schema, f"{place}.prefixItems.{index}", depth + 1)
            for index, schema in enumerate(first)
        ]
        more = ""
        if high != 0:
            item = self._new_rule(self.value(items, f"{place}.items", depth + 1))
            more = self._run(item, low, high, begun=bool(parts))
        listed = ' "," ws '.join(parts)
        return f'"[" ws {listed} {more} ws "]"'

    def _run(self, item: str, low: int, high: int | None, *, begun: bool) -> str:
        """From `low` to `high` items with commas between, and one before if the list has begun."""
        later = f'"," ws {item}'
        if begun:
            return self._count(later, low, high)
        rest = self._count(later, max(low - 1, 0), None if high is None else high - 1)
        return f"({item} {rest})" + ("" if low else "?")

    def _count(self, item: str, low: int, high: int | None) -> str:
        """`low` to `high` times an expression, a rule for each: the engine is slow at counts of
        its own."""
        rest = f"({item})*" if high is None else '""'
        for _ in range(0 if high is None else high - low):
            rest = self._new_rule(f'{item} {rest} | ""')
        for _ in range(low):
            rest = self._new_rule(f"{item} {rest}")
        return rest

    def _object(self, given: Mapping[str, Any], place: str, depth: int) -> str:
        extra = given.get("additionalProperties", True)
        if not given.get("properties") and not given.get("required"):
            return self._map(False if "properties" in given else extra, place, depth)
        required = set(given.get("required", ()))
        properties = dict(given.get("properties", {}))
        properties |= dict.fromkeys(sorted(required - properties.keys()), extra)
        pairs = [
            (
                f"{literal(_json_text(name))} {literal(':')} ws "
                f"{self.value(schema, f'{place}.properties.{name[:100]}', depth + 1)}",
                name in required,
            )
            for name, schema in properties.items()
            if schema is not False or name in required
        ]
        return f'"{{" ws {self._members(pairs)} ws "}}"'

    def _members(self, pairs: list[tuple[str, bool]]) -> str:
        """Pairs in their order, each optional one there or not, with commas between.

        From the last pair to the first, `fresh` is what may follow where nothing came before, and
        `begun` where something did.
        """
        fresh = begun = '""'
        for pair, needed in reversed(pairs):
            rule = self._new_rule(pair)
            first, later = f"{rule} {begun}", f'"," ws {rule} {begun}'
            fresh = self._new_rule(first if needed else f"{first} | {fresh}")
            begun = self._new_rule(later if needed else f"{later} | {begun}")
        return fresh

    def _map(self, schema: Any, place: str, depth: int) -> str:
        if schema is False:
            return '"{" ws "}"'
        inner = self.value(schema, f"{place}.additionalProperties", depth + 1)
        pair = self._new_rule(f'string ":" ws {inner}')
        return f'"{{" ws ({pair} ("," ws {pair})*)? ws "}}"'


def _chosen(given: Mapping[str, Any], place: str) -> list[str]:
    """The JSON texts of the values that enum or const leave."""
    chosen_by = "const" if "const" in given else "enum"
    beside = sorted(given.keys() - FILTERS - {chosen_by})
    if beside:
        raise GrammarError(f"{place}: '{beside[0]}' cannot be held beside '{chosen_by}'")
    values = [given["const"]] if chosen_by == "const" else given["enum"]
    fits = Draft202012Validator({key: value for key, value in given.items() if key in FILTERS})
    left = {_json_text(value) for value in values if fits.is_valid(value)}
    if not left:
        raise GrammarError(f"{place}: none of the values is valid")
    return sorted(left)


def _follow(root: Any, reference: str, place: str) -> Any:
    """What a reference into the schema itself points at (RFC 6901)."""
    if reference != "#" and not reference.startswith("#/"):
        raise GrammarError(f"{place}: only references into the schema itself (#/...) are followed")
    target = root
    for part in unquote(reference[1:]).split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(target, list) and name.isdecimal() and int(name) < len(target):
            target = target[int(name)]
        elif isinstance(target, dict) and name in target:
            target = target[name]
        else:
            raise GrammarError(f"{place}: there is nothing at {reference[:100]}")
    if not isinstance(target, dict | bool):
        raise GrammarError(f"{place}: there is no schema at {reference[:100]}")
    return target


def _check_counts(low: int, high: int | None, place: str) -> None:
    if high is not None and low > high:
        raise GrammarError(f"{place} is above the most that is allowed")
    if max(low, high or 0) > COUNT_MAX:
        raise GrammarError(f"{place}: counts and lengths go to {COUNT_MAX}")


def _placed(place: str, make: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Calls, and puts the place before the words of a GrammarError."""
    try:
        return make(*arguments, **options)
    except GrammarError as error:
        raise GrammarError(f"{place}: {error}") from None


def _json_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
