"""The keywords of JSON Schema that can be held, and what may stand at each. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

from services.serving.number_grammar import BOUNDS
from services.serving.regex_grammar import GrammarError

# Say nothing about which values are valid.
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
    "$defs",
    "definitions",
}
KEYWORDS_OF = {
    "string": {"minLength", "maxLength", "pattern"},
    "integer": BOUNDS,
    "number": BOUNDS,
    "array": {"items", "prefixItems", "minItems", "maxItems"},
    "object": {"properties", "required", "additionalProperties"},
    "boolean": set(),
    "null": set(),
}
TYPED = set().union(*KEYWORDS_OF.values())
WHOLE = {"$ref", "anyOf", "allOf"}
CHOSEN = {"enum", "const"}
# Beside enum and const, these choose among the values. A pattern may not: Python's matcher can
# take for ever over one.
FILTERS = {"type", "minLength", "maxLength"} | BOUNDS
KNOWN = ANNOTATIONS | TYPED | WHOLE | CHOSEN | {"type"}


def _is_any(_: Any) -> bool:
    return True


def is_schema(value: Any) -> bool:
    return isinstance(value, dict | bool)


def _are_schemas(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(is_schema, value))


def _is_natural(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_type(value: Any) -> bool:
    named = value if isinstance(value, list) else [value]
    return bool(named) and all(isinstance(name, str) and name in KEYWORDS_OF for name in named)


# What the metaschema asks of each keyword.
SHAPES: dict[str, Callable[[Any], bool]] = {
    "$ref": _is_text,
    "additionalProperties": is_schema,
    "allOf": _are_schemas,
    "anyOf": _are_schemas,
    "enum": lambda value: isinstance(value, list),
    "items": is_schema,
    "maxItems": _is_natural,
    "maxLength": _is_natural,
    "minItems": _is_natural,
    "minLength": _is_natural,
    "pattern": _is_text,
    "prefixItems": _are_schemas,
    "properties": lambda value: isinstance(value, dict),
    "required": lambda value: isinstance(value, list) and all(map(_is_text, value)),
    "type": _is_type,
    **dict.fromkeys(BOUNDS, _is_number),
}


def check_keywords(given: Mapping[str, Any], place: str) -> None:
    for key in given:
        if key not in KNOWN:
            hint = " (use anyOf)" if key == "oneOf" else ""
            raise GrammarError(f"{place}: '{key[:100]}' cannot be held{hint}; leave it out")
        if not SHAPES.get(key, _is_any)(given[key]):
            raise GrammarError(f"{place}.{key}: {str(given[key])[:80]} cannot stand there")
    for key in WHOLE & given.keys():
        others = sorted(given.keys() - {key})
        if others:
            raise GrammarError(f"{place}: '{others[0]}' cannot be held beside '{key}'")


def types_of(given: Mapping[str, Any]) -> list[str]:
    """The types that a value may have. Without `type`, keywords of one type mean that type."""
    if "type" in given:
        named = given["type"]
        return [named] if isinstance(named, str) else list(dict.fromkeys(named))
    found = [name for name, words in KEYWORDS_OF.items() if words & given.keys()]
    return [name for name in found if name != "integer"] or ["any"]
