"""JSON Schemas of the contract's messages, as `messages.py` writes and reads them.

Made from the descriptors with their protovalidate rules, so that they cannot differ from the
contract. Rules that JSON Schema cannot say (bytes of a text, one of several) stay the service's.
"""

from collections.abc import Iterable
from typing import Any

from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

PREFIX = "#/components/schemas/"
# What JSON has a text for, by protobuf's rules.
WRITTEN: dict[str, dict[str, Any]] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^[0-9]{1,12}(\.[0-9]{1,9})?s$"},
}
_UINT32_MAX, _UINT64_MAX = 2**32 - 1, 2**64 - 1
_INTEGERS = {
    FieldDescriptor.CPPTYPE_UINT32: _UINT32_MAX,
    FieldDescriptor.CPPTYPE_UINT64: _UINT64_MAX,
}
Schema = dict[str, Any]


def schemas(requests: Iterable[Descriptor], responses: Iterable[Descriptor]) -> dict[str, Schema]:
    """Schemas of all messages that these reach, by name.

    What only comes from a service has all its fields; what is sent to it may leave some out.
    """
    asked, told = _reached(requests), _reached(responses)
    return {
        name: _message(one, whole=name not in asked) for name, one in sorted((asked | told).items())
    }


def of_field(field: FieldDescriptor) -> Schema:
    """The schema of one field's value."""
    rules = field.GetOptions().Extensions[validate_pb2.field]
    if field.message_type and field.message_type.GetOptions().map_entry:
        value = of_field(field.message_type.fields_by_name["value"])
        return {"type": "object", "additionalProperties": value}
    if field.is_repeated:
        bound = {"maxItems": rules.repeated.max_items} if rules.repeated.max_items else {}
        return {"type": "array", "items": _one(field, rules.repeated.items), **bound}
    return _one(field, rules)


def is_integer(field: FieldDescriptor) -> bool:
    """Whether its values are whole numbers."""
    return field.cpp_type in _INTEGERS


def is_map_of_doubles(field: FieldDescriptor) -> bool:
    """Whether it is a map to numbers that need not be whole."""
    if not field.message_type or not field.message_type.GetOptions().map_entry:
        return False
    value = field.message_type.fields_by_name["value"]
    return value.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE


def _one(field: FieldDescriptor, rules: validate_pb2.FieldRules) -> Schema:
    if field.message_type:
        if field.message_type.full_name in WRITTEN:
            return dict(WRITTEN[field.message_type.full_name])
        return {"$ref": PREFIX + field.message_type.name}
    if field.enum_type:
        refused = rules.enum.not_in
        values = [value.name for value in field.enum_type.values if value.number not in refused]
        return {"type": "string", "enum": values}
    if is_integer(field):
        long = field.cpp_type == FieldDescriptor.CPPTYPE_UINT64
        own = rules.uint64 if long else rules.uint32
        most = own.lte if own.HasField("lte") else _INTEGERS[field.cpp_type]
        return {"type": "integer", "minimum": own.gte, "maximum": most}
    if field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE:
        return {"type": "number", **_bounds(rules.double)}
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return {"type": "boolean"}
    return _text(rules.string)


def _bounds(rules: validate_pb2.DoubleRules) -> Schema:
    bounds = {"gte": "minimum", "lte": "maximum"}
    return {word: getattr(rules, rule) for rule, word in bounds.items() if rules.HasField(rule)}


def _text(rules: validate_pb2.StringRules) -> Schema:
    schema: Schema = {"type": "string"}
    if rules.pattern:
        schema["pattern"] = rules.pattern
    if rules.uuid:
        schema["format"] = "uuid"
    if rules.min_bytes:
        schema["minLength"] = 1
    if rules.max_bytes:
        schema["maxLength"] = rules.max_bytes
    return schema


def _message(message: Descriptor, *, whole: bool) -> Schema:
    schema: Schema = {
        "type": "object",
        "properties": {field.name: of_field(field) for field in message.fields},
        "additionalProperties": False,
    }
    if whole:
        schema["required"] = [
            field.name for field in message.fields if field.is_repeated or not field.has_presence
        ]
    return schema


def _reached(messages: Iterable[Descriptor]) -> dict[str, Descriptor]:
    found: dict[str, Descriptor] = {}
    waiting = list(messages)
    while waiting:
        message = waiting.pop()
        if message.name in found or message.full_name in WRITTEN:
            continue
        if not message.GetOptions().map_entry:
            found[message.name] = message
        waiting += [field.message_type for field in message.fields if field.message_type]
    return found
