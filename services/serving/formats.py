"""The form that an answer must have, as a grammar for the engine, or a refusal that says where.

A grammar that the engine cannot compile breaks it in the middle of a step, and with it every answer
in the batch. So nothing that a caller wrote reaches the engine: grammars are made here, from what
can be held. Pure.
"""

import json
from typing import Any, NoReturn

from services.rpc.errors import InvalidArgument
from services.serving.engine import Format
from services.serving.json_grammar import JSON_OBJECT, schema_grammar
from services.serving.regex_grammar import GrammarError, regex_rules

JSON_OBJECT_FORMAT = Format(JSON_OBJECT)
WORDS_MAX = 400
# Larger whole numbers are not exact as floats, and stay floats.
EXACT_MAX = 2**53


def schema_format(text: str) -> Format:
    """Makes the format of a JSON schema's texts, or raises InvalidArgument."""
    try:
        schema = json.loads(text, parse_constant=_refuse_constant, parse_float=_number)
        json.dumps(schema, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise unusable("the schema is not JSON") from None
    if not isinstance(schema, dict):
        raise unusable("the schema must be a JSON object")
    try:
        return Format(schema_grammar(schema))
    except GrammarError as error:
        raise unusable(str(error)) from None
    except RecursionError:
        raise unusable("the schema is nested too deep") from None


def regex_format(text: str) -> Format:
    """Makes the format of the texts that a regular expression matches, or raises
    InvalidArgument."""
    try:
        return Format("\n".join(regex_rules(text, "root")))
    except GrammarError as error:
        raise unusable(f"the regular expression: {error}") from None


def unusable(words: str) -> InvalidArgument:
    """The refusal of a format. Names in it are the caller's, and may be long."""
    return InvalidArgument(
        f"The output format cannot be used: {words[:WORDS_MAX]}.",
        reason="OUTPUT_FORMAT_INVALID",
        metadata={"field": "output_format"},
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _number(text: str) -> Any:
    """A number of the schema; 2.0 becomes 2, which JSON Schema holds to be the same."""
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text} is too large")
    return int(value) if value.is_integer() and abs(value) < EXACT_MAX else value
