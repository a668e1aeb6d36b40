"""From JSON to the services' messages and back: names as in the contract, numbers as numbers.

Reading is stricter than protobuf's own: unknown names, camelCase and numbers in quotes are refused
by their path. Values are the service's to judge.
"""

from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from jsonschema import Draft202012Validator, ValidationError

from gateway.api.json_schema import is_integer, is_map_of_doubles, schemas
from gateway.errors import ApiError, invalid

PATH_CHARS_MAX = 200


class Reader:
    """Reads requests of one type."""

    def __init__(self, kind: type[Message]) -> None:
        self._kind = kind
        named = schemas([kind.DESCRIPTOR], [])
        root = {**named[kind.DESCRIPTOR.name], "components": {"schemas": named}}
        self._validator = Draft202012Validator(root)

    def read(self, values: Mapping[str, Any]) -> Message:
        """The message. Raises ApiError 400 that names the first field that is wrong."""
        for problem in self._validator.iter_errors(dict(values)):
            raise _explain(problem)
        try:
            return json_format.ParseDict(values, self._kind())
        except json_format.ParseError:
            # Two of a oneof, or a number that no double holds.
            raise invalid("The fields of the request do not go together.") from None


def to_json(message: Message) -> dict[str, Any]:
    """The message with all its fields, except for messages and options that are not set."""
    values = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return _with_numbers(message, values)


def _with_numbers(message: Message, values: dict[str, Any]) -> dict[str, Any]:
    """protobuf writes numbers of 64 bits as text; ours stay far below what JavaScript counts. What
    is no number, as the loss of a training that went wrong, is left out of maps of numbers."""
    for field in message.DESCRIPTOR.fields:
        value = values.get(field.name)
        if isinstance(value, str) and is_integer(field):
            values[field.name] = int(value)
        elif isinstance(value, list) and field.message_type:
            for one, plain in zip(getattr(message, field.name), value, strict=True):
                _with_numbers(one, plain)
        elif isinstance(value, dict) and is_map_of_doubles(field):
            values[field.name] = {k: one for k, one in value.items() if not isinstance(one, str)}
        elif isinstance(value, dict) and not field.is_repeated:
            _with_numbers(getattr(message, field.name), value)
    return values


def _explain(problem: ValidationError) -> ApiError:
    path = [str(step) for step in problem.absolute_path]
    if problem.validator == "additionalProperties":
        unknown = next(
            name for name in problem.instance if name not in problem.schema["properties"]
        )
        place = ".".join([*path, unknown])[:PATH_CHARS_MAX]
        return invalid(f"Unknown field: '{place}'.", param=place, code="unknown_field")
    place = ".".join(path)[:PATH_CHARS_MAX]
    if problem.validator == "type":
        return invalid(
            f"'{place}' must be of type {problem.validator_value}.",
            param=place,
            code="invalid_type",
        )
    wanted = f"{problem.validator} {problem.validator_value}"
    return invalid(f"'{place}' does not keep to its rule: {wanted}.", param=place)
