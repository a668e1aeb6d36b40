"""Checks a JSON schema or regular expression before the engine sees it.

The engine's grammar compiler raises in the middle of a step, which would end every answer in the
batch, and it passes over keywords that it does not know. So what it cannot do is refused here, with
the place named. Pure.

The lists hold what xgrammar enforces (its documentation on JSON schema and regular expressions, and
our integration test, which asks the real engine for each).
"""

import json
import re
from re import _constants as ops  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

from jsonschema import Draft202012Validator, SchemaError

from services.rpc.errors import InvalidArgument
from services.serving.engine import Format

DEPTH_MAX = 32
# A product of nested repeats; beyond, compiling takes seconds that every running answer would wait
# for.
REPEAT_MAX = 10_000

TYPES = {"string", "number", "integer", "boolean", "null", "array", "object"}
# Say nothing about which texts are valid.
ANNOTATIONS = {
    "$schema",
    "$id",
    "$comment",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "strict",
}
SUBSCHEMA_MAPS = {"properties", "$defs", "definitions"}
SUBSCHEMA_LISTS = {"anyOf", "allOf", "oneOf", "prefixItems"}
SUBSCHEMAS = {"items", "additionalProperties"}
VALUES = {
    "type",
    "enum",
    "const",
    "required",
    "$ref",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
}
KNOWN = ANNOTATIONS | SUBSCHEMA_MAPS | SUBSCHEMA_LISTS | SUBSCHEMAS | VALUES

REGEX_OPS = {
    ops.LITERAL,
    ops.NOT_LITERAL,
    ops.ANY,
    ops.IN,
    ops.MAX_REPEAT,
    ops.SUBPATTERN,
    ops.BRANCH,
    ops.RANGE,
    ops.CATEGORY,
    ops.NEGATE,
}
JSON_OBJECT = '{"type":"object"}'


def check_schema(text: str) -> Format:
    """Returns the format of a JSON schema, or raises InvalidArgument that names the place."""
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError):
        raise _invalid("the schema is not JSON") from None
    if not isinstance(schema, dict):
        raise _invalid("the schema must be a JSON object")
    _walk(schema, schema, "schema", 0)
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        place = ".".join(["schema", *map(str, error.absolute_path)])
        raise _invalid(f"{place}: {error.message[:200]}") from None
    return Format("json_schema", json.dumps(schema))


def check_regex(text: str) -> Format:
    """Returns the format of a regular expression, or raises InvalidArgument that says what is
    wrong."""
    _check_pattern(text, "regex")
    return Format("regex", text)


def _walk(schema: Any, root: dict[str, Any], place: str, depth: int) -> None:
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        raise _invalid(f"{place} must be an object or a boolean")
    if depth > DEPTH_MAX:
        raise _invalid(f"{place} is nested more than {DEPTH_MAX} deep")
    for key, value in schema.items():
        _walk_keyword(key, value, root, f"{place}.{key}", depth)


def _walk_keyword(key: str, value: Any, root: dict[str, Any], place: str, depth: int) -> None:
    if key not in KNOWN:
        raise _invalid(f"{place}: the engine cannot enforce '{key}'; leave it out")
    if key in SUBSCHEMA_MAPS:
        for name, inner in _of(dict, value, place).items():
            _walk(inner, root, f"{place}.{name}", depth + 1)
    elif key in SUBSCHEMA_LISTS:
        for index, inner in enumerate(_of(list, value, place)):
            _walk(inner, root, f"{place}.{index}", depth + 1)
    elif key in SUBSCHEMAS:
        _walk(value, root, place, depth + 1)
    elif key == "$ref":
        _check_reference(value, root, place)
    elif key == "pattern":
        _check_pattern(value, place)
    elif key == "type":
        unknown = set(value if isinstance(value, list) else [value]) - TYPES
        if unknown:
            raise _invalid(f"{place}: no such type as {sorted(map(str, unknown))[0]!r}")


def _of(kind: type, value: Any, place: str) -> Any:
    if not isinstance(value, kind):
        raise _invalid(f"{place} must be {'an object' if kind is dict else 'a list'}")
    return value


def _check_reference(reference: Any, root: dict[str, Any], place: str) -> None:
    target: Any = root
    if not isinstance(reference, str) or not reference.startswith("#"):
        raise _invalid(f"{place}: only references into the schema itself (#/...) are followed")
    for part in reference.removeprefix("#").split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(target, dict) or name not in target:
            raise _invalid(f"{place}: there is nothing at {reference[:100]}")
        target = target[name]


def _check_pattern(text: Any, place: str) -> None:
    if not isinstance(text, str):
        raise _invalid(f"{place} must be a string")
    try:
        parsed = parser.parse(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise _invalid(f"{place}: {str(error)[:200]}") from None
    tokens = list(parsed)
    if tokens and tokens[0] == (ops.AT, ops.AT_BEGINNING):
        tokens = tokens[1:]
    if tokens and tokens[-1] == (ops.AT, ops.AT_END):
        tokens = tokens[:-1]
    _check_tokens(tokens, place, 1)


def _check_tokens(tokens: Any, place: str, repeats: int) -> None:
    for op, argument in tokens:
        if op not in REGEX_OPS:
            raise _invalid(f"{place}: the engine has no {str(op).lower().replace('_', ' ')}")
        if op is ops.MAX_REPEAT:
            low, high, inner = argument
            times = repeats * max(low, 1 if high is ops.MAXREPEAT else high, 1)
            if times > REPEAT_MAX:
                raise _invalid(f"{place}: repeats multiply to more than {REPEAT_MAX}")
            _check_tokens(inner, place, times)
        elif op is ops.SUBPATTERN:
            _check_tokens(argument[-1], place, repeats)
        elif op is ops.BRANCH:
            for branch in argument[1]:
                _check_tokens(branch, place, repeats)
        elif op is ops.IN:
            _check_tokens(argument, place, repeats)


def _invalid(words: str) -> InvalidArgument:
    return InvalidArgument(
        f"The output format cannot be used: {words}.",
        reason="OUTPUT_FORMAT_INVALID",
        metadata={"field": "output_format"},
    )
