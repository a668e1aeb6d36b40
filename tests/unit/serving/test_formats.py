"""Which formats are accepted, and the words for those that are not.

That the engine keeps to what is accepted, tests/integration/serving/test_formats.py shows.
"""

import json
import time

import pytest

from services.rpc.errors import InvalidArgument
from services.serving.formats import WORDS_MAX, regex_format, schema_format
from services.serving.json_grammar import COUNT_MAX, DEPTH_MAX

ACCEPTED = [
    {},
    {"type": "object"},
    {"type": ["string", "null"]},
    {"title": "x", "description": "y", "default": [[]], "examples": [1], "type": "null"},
    {"properties": {"pattern": {"type": "string"}, "$ref": {"type": "null"}}},
    {"$ref": "#/$defs/a", "$defs": {"a": {"type": "null"}}},
    {"anyOf": [{"type": "null"}, {"type": "array", "items": {"$ref": "#"}}]},
    {"minLength": 2.0, "maxLength": 2.0},
    {"enum": [1, "a"], "type": "string"},
    {"const": 1.5e300},
    {"type": "array", "maxItems": 0},
    {"properties": {"a": False}},
]

REFUSED = [
    ("[]", "the schema must be a JSON object"),
    ("{", "the schema is not JSON"),
    ('{"const": NaN}', "the schema is not JSON"),
    ('{"const": 1e999}', "the schema is not JSON"),
    ('{"const": "\\ud800"}', "the schema is not JSON"),
    ('{"enum": ' + "[" * 50_000 + "]" * 50_000 + "}", "the schema is not JSON"),
    ({"type": "foo"}, "schema.type: foo cannot stand there"),
    ({"type": []}, "schema.type: [] cannot stand there"),
    ({"minLength": -1}, "schema.minLength: -1 cannot stand there"),
    ({"minLength": True}, "schema.minLength: True cannot stand there"),
    ({"items": [{}]}, "schema.items: [{}] cannot stand there"),
    ({"anyOf": []}, "schema.anyOf: [] cannot stand there"),
    ({"properties": {"a": 1}}, "schema.properties.a must be an object or a boolean"),
    ({"format": "date"}, "schema: 'format' cannot be held; leave it out"),
    ({"oneOf": [{}]}, "schema: 'oneOf' cannot be held (use anyOf); leave it out"),
    ({"minProperties": 1}, "schema: 'minProperties' cannot be held; leave it out"),
    ({"not": {}}, "schema: 'not' cannot be held; leave it out"),
    ({"items": {"uniqueItems": True}}, "schema.items: 'uniqueItems' cannot be held; leave it out"),
    ({"allOf": [{}, {}]}, "schema.allOf: only one schema can be held there"),
    ({"anyOf": [{}], "type": "null"}, "schema: 'type' cannot be held beside 'anyOf'"),
    ({"$ref": "#", "maxLength": 1}, "schema: 'maxLength' cannot be held beside '$ref'"),
    ({"enum": ["a"], "pattern": "a"}, "schema: 'pattern' cannot be held beside 'enum'"),
    ({"const": 1, "enum": [1]}, "schema: 'enum' cannot be held beside 'const'"),
    ({"pattern": "a", "minLength": 1}, "schema: 'pattern' cannot be held beside a length"),
    ({"pattern": "(?=a)"}, "schema.pattern: assert is not supported"),
    ({"const": 1, "type": "string"}, "schema: none of the values is valid"),
    ({"enum": []}, "schema: none of the values is valid"),
    ({"minItems": 2, "maxItems": 1}, "schema.minItems is above the most that is allowed"),
    ({"minItems": 1, "items": False}, "schema.minItems is above the most that is allowed"),
    ({"maxLength": COUNT_MAX + 1}, f"schema.minLength: counts and lengths go to {COUNT_MAX}"),
    ({"minimum": 2, "maximum": 1}, "schema: no number is within the bounds"),
    ({"type": "number", "minimum": 0.5}, "schema: bounds of a number must be whole to be held"),
    ({"required": ["a"], "additionalProperties": False},
     "schema.properties.a: nothing is valid here"),
    ({"$ref": "#/$defs/x"}, "schema: there is nothing at #/$defs/x"),
    ({"$ref": "#x"}, "schema: only references into the schema itself (#/...) are followed"),
    ({"$ref": "http://x"}, "schema: only references into the schema itself (#/...) are followed"),
    ({"$ref": "#/title", "title": "x"}, "schema: there is no schema at #/title"),
    ({"$ref": "#"}, "schema: its references lead back to themselves"),
    ({"anyOf": [{"$ref": "#"}, {"type": "null"}]},
     "schema: its references lead back to themselves"),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}},
     "schema: its references lead back to themselves"),
]  # fmt: skip


def nested(depth: int) -> dict:
    """A schema within schemas."""
    schema: dict = {}
    for _ in range(depth):
        schema = {"items": schema}
    return schema


@pytest.mark.parametrize("schema", ACCEPTED, ids=json.dumps)
def test_schemas_that_can_be_held_are_accepted(schema):
    """And begin with the root."""
    assert "root ::= " in schema_format(json.dumps(schema)).grammar


@pytest.mark.parametrize(("schema", "words"), REFUSED, ids=lambda value: str(value)[:60])
def test_schemas_that_cannot_be_held_are_refused_with_their_place(schema, words):
    """Nothing is passed over in silence."""
    text = schema if isinstance(schema, str) else json.dumps(schema)
    with pytest.raises(InvalidArgument) as refusal:
        schema_format(text)
    assert refusal.value.reason == "OUTPUT_FORMAT_INVALID"
    assert refusal.value.metadata == {"field": "output_format"}
    assert refusal.value.message == f"The output format cannot be used: {words}."


@pytest.mark.parametrize("depth", [DEPTH_MAX, DEPTH_MAX + 1, 300, 900, 5000])
def test_nesting_has_a_bound(depth):
    """A schema is accepted up to the bound, and none ends the process."""
    text = json.dumps(nested(min(depth, 300)))
    text = text if depth <= 300 else '{"items":' * depth + "{}" + "}" * depth
    if depth <= DEPTH_MAX:
        assert schema_format(text)
    else:
        with pytest.raises(InvalidArgument):
            schema_format(text)


def test_values_may_be_nested_deeper_than_schemas():
    """They are only written out."""
    assert schema_format(json.dumps({"const": json.loads("[" * 200 + "]" * 200)}))


@pytest.mark.parametrize(
    "schema",
    [
        {"anyOf": [{"type": "string", "maxLength": COUNT_MAX}] * 1500},
        {"properties": {f"p{index}": {"type": "string"} for index in range(2000)}},
        {"enum": [f"value {index}" for index in range(4000)]},
        {"enum": ["a" * index for index in range(350)]},
        {"items": {"enum": [{"x": index} for index in range(3000)]}},
    ],
    ids=["lengths", "properties", "enum", "prefixes", "objects"],
)
def test_the_largest_schemas_take_a_bounded_time(schema):
    """64 KiB of any kind are compiled or refused within a second or two of work."""
    text = json.dumps(schema)[: 1 << 20]
    started_s = time.process_time()
    try:
        assert len(schema_format(text).grammar) < 1 << 20
    except InvalidArgument as refusal:
        assert "too" in refusal.message
    assert time.process_time() - started_s < 4


def test_refusals_are_short():
    """A caller's long names do not come back as headers that are too long to send."""
    schema = {"properties": {"x" * 50_000: {"properties": {"y" * 9000: {"foo": 1}}}}}
    with pytest.raises(InvalidArgument) as refusal:
        schema_format(json.dumps(schema))
    assert len(refusal.value.message) < WORDS_MAX + 100


def test_expressions_are_accepted_or_refused():
    """A regular expression is a grammar by itself; one that is wrong is refused."""
    assert regex_format("[a-c]+").grammar.startswith("root ::= ")
    with pytest.raises(InvalidArgument) as refusal:
        regex_format("(((")
    assert refusal.value.message.startswith(
        "The output format cannot be used: the regular expression: missing )"
    )


def test_the_same_format_is_equal():
    """Formats that broke the engine are told by what they are."""
    one, other = (schema_format('{"type": "object", "title": "x"}') for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert one != schema_format('{"type": "array"}')
