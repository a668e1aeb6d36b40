"""The real engine keeps to every format that we accept: a random model's answers all fit.

What is random here is seeded; a failing case names its seed.
"""

import json
import random
import re
from collections.abc import Sequence

import pytest
from jsonschema import Draft202012Validator

from services.serving.engine import Format, Sampling
from services.serving.formats import JSON_OBJECT_FORMAT, regex_format, schema_format
from services.serving.schema_keywords import ANNOTATIONS, KNOWN
from tests.integration.serving.conftest import Bench

pytestmark = pytest.mark.asyncio(loop_scope="module")

RANDOM = Sampling(temperature=1.0)
ANSWERS = 6
TOKENS_MAX = 300

# For each keyword, schemas that a random text would break at once.
BY_KEYWORD = {
    "type": [{"type": "boolean"}, {"type": ["integer", "null"]}, {"type": "number"}],
    "enum": [{"enum": ["a", "ab", "abc", "b", 1, 12, None, True, {"x": [1]}, 'q"\n\\']}],
    "const": [{"const": {"a": [1, 2.5, None, "ü\n"]}}, {"const": 10**20}],
    "minLength": [{"type": "string", "minLength": 3, "maxLength": 5}],
    "maxLength": [{"type": "string", "maxLength": 2}, {"enum": ["aa", "b"], "maxLength": 1}],
    "pattern": [
        {"type": "string", "pattern": '^[a-c"\\\\]{2,4}$'},
        {"type": "string", "pattern": r"[^\w]{3}"},
        {"pattern": "x|xy|xyz"},
    ],
    "minimum": [{"type": "integer", "minimum": -120, "maximum": 37}, {"minimum": 3, "maximum": 9}],
    "maximum": [
        {"type": "integer", "maximum": -5, "minimum": -10**6},
        {"type": "number", "minimum": 0, "maximum": 1},
    ],
    "exclusiveMinimum": [{"type": "number", "exclusiveMinimum": -1, "exclusiveMaximum": 1}],
    "exclusiveMaximum": [{"type": "integer", "exclusiveMinimum": 8, "exclusiveMaximum": 1002}],
    "items": [{"type": "array", "items": {"type": "null"}, "minItems": 2, "maxItems": 3}],
    "prefixItems": [
        {"prefixItems": [{"type": "null"}, {"const": 1}], "items": False},
        {"prefixItems": [{"const": 1}], "items": {"const": 2}, "minItems": 3, "maxItems": 4},
    ],
    "minItems": [{"minItems": 2, "maxItems": 2}],
    "maxItems": [{"type": "array", "items": {"const": 0}, "maxItems": 1}],
    "properties": [
        {"type": "object", "properties": {'a"\n': {"const": 1}, "é": {"const": 2}}},
        {"type": "object", "properties": {"a": False, "b": {"type": "null"}}},
    ],
    "required": [
        {"properties": {"a": {"const": 1}, "b": {"const": 2}, "c": {"const": 3}},
         "required": ["b"]},
        {"type": "object", "properties": {"a": {"const": 1}}, "required": ["z"],
         "additionalProperties": {"type": "boolean"}},
    ],
    "additionalProperties": [
        {"type": "object", "additionalProperties": False},
        {"type": "object", "properties": {"a": {"const": 1}}, "additionalProperties": False},
    ],
    "anyOf": [{"anyOf": [{"const": 1}, {"type": "array", "items": {"const": "b"}}]}],
    "allOf": [{"allOf": [{"type": "object", "required": ["a"]}]}],
    "$ref": [
        {"$ref": "#/$defs/tree", "$defs": {"tree": {
            "type": "object",
            "properties": {"left": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]}},
            "required": ["left"]}}},
        {"properties": {"a": {"$ref": "#/properties/b"}, "b": {"enum": [7]}}, "required": ["a"]},
        {"$ref": "#/$defs/p~1q%20r", "$defs": {"p/q r": {"type": "null"}}},
    ],
}  # fmt: skip


async def answers(bench: Bench, form: Format, seed: int = 0) -> list[str]:
    """Texts of random answers in a format, those that came to their end."""
    found = await bench.ask(
        format=form, sampling=RANDOM, seed=seed, choices=ANSWERS, tokens_max=TOKENS_MAX
    )
    return [found.texts[i] for i, end in found.finished.items() if end.reason == "stop"]


async def misfits(bench: Bench, schema: dict, seed: int = 0) -> tuple[list[str], int]:
    """Answers that a schema does not allow, and how many there were."""
    texts = await answers(bench, schema_format(json.dumps(schema)), seed)
    valid = Draft202012Validator(schema).is_valid
    return [text for text in texts if not valid(json.loads(text))], len(texts)


async def test_no_keyword_is_left_out():
    """What is accepted is what is tried below."""
    assert BY_KEYWORD.keys() == KNOWN - ANNOTATIONS


@pytest.mark.parametrize("keyword", sorted(BY_KEYWORD))
async def test_every_keyword_is_held(shared: Bench, keyword: str):
    """Each schema of each accepted keyword is kept to."""
    for schema in BY_KEYWORD[keyword]:
        wrong, count = await misfits(shared, schema)
        assert not wrong, schema
        assert count, f"no answer to {schema} came to an end"


async def test_annotations_change_nothing(shared: Bench):
    """Keywords that say nothing about values may stand anywhere."""
    schema = {**dict.fromkeys(sorted(ANNOTATIONS - {"$defs", "definitions"}), "x"), "const": 1}
    assert await answers(shared, schema_format(json.dumps(schema))) == ["1"] * ANSWERS


async def test_any_json_object_is_one(shared: Bench):
    """`json_object` gives an object."""
    texts = await answers(shared, JSON_OBJECT_FORMAT)
    assert texts
    assert all(isinstance(json.loads(text), dict) for text in texts)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30))
async def test_random_schemas_are_held(shared: Bench, seed: int):
    """Keywords hold together as they do alone."""
    wrong, _ = await misfits(shared, random_schema(random.Random(seed), 3), seed)
    assert not wrong


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30))
async def test_random_choices_are_held(shared: Bench, seed: int):
    """Values that begin alike are not mixed up."""
    chance = random.Random(seed)
    words = {"".join(chance.choices("ab1", k=chance.randint(1, 6))) for _ in range(12)}
    numbers = {chance.randrange(10 ** chance.randint(1, 5)) for _ in range(12)}
    for values in (sorted(words), sorted(numbers)):
        wrong, count = await misfits(shared, {"enum": values}, seed)
        assert not wrong
        assert count == ANSWERS


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30))
async def test_random_bounds_are_held(shared: Bench, seed: int):
    """No number is outside, whatever the bounds."""
    chance = random.Random(seed)
    low = chance.choice((-1, 1)) * chance.randrange(10 ** chance.randint(1, 7))
    high = low + chance.randrange(10 ** chance.randint(1, 7))
    for kind in ("integer", "number"):
        wrong, _ = await misfits(shared, {"type": kind, "minimum": low, "maximum": high}, seed)
        assert not wrong


@pytest.mark.parametrize(
    "pattern",
    [
        "[a-f]{4}", "(yes|no)!?", r"\d{3}-[A-Z]", "^a$|^b+$", "[^a]{5}", ".{1,8}", r"\w{2}\W\s",
        "é|😀{2}", "[😀-😏]{3}", "(a?){5}b", "(a|b)*a(a|b){5}", "`b|\\x41\\t", "a{0}",
        "(?:x){2}y*?", r"[^\W\d]{3}[^\w]", r"[\n\r]x", "[0-9]|[1-9][0-9]|-[1-9]|-[1-9][0-9]{2}",
    ],
)  # fmt: skip
async def test_every_expression_is_held(shared: Bench, pattern: str):
    """The whole answer matches, and is text."""
    texts = await answers(shared, regex_format(pattern))
    assert all(re.fullmatch(pattern, text) for text in texts), texts
    assert "\ufffd" not in "".join(texts)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
async def test_random_expressions_are_held(shared: Bench, seed: int):
    """Expressions hold together as their parts do alone."""
    pattern = random_expression(random.Random(seed), 3)
    texts = await answers(shared, regex_format(pattern), seed)
    assert all(re.fullmatch(pattern, text) for text in texts), (pattern, texts)


LEAVES: Sequence[dict] = (
    {"type": "null"},
    {"type": "boolean"},
    {"enum": ["a", "ab", 1, 12]},
    {"const": {"a": 1}},
    {"type": "string", "maxLength": 4},
    {"type": "string", "pattern": "(x|xy|xyz)-[0-9]{2}"},
    {"type": "number", "minimum": 0, "maximum": 3},
    {"type": "integer", "minimum": -4, "maximum": 250},
)


def random_schema(chance: random.Random, depth: int) -> dict:
    """A schema of what can be held."""
    kind = chance.choice(("leaf", "anyOf", "list", "tuple", "object", "object")) if depth else ""
    inner = lambda: random_schema(chance, depth - 1)  # noqa: E731
    match kind:
        case "anyOf":
            return {"anyOf": [inner() for _ in range(chance.randint(1, 3))]}
        case "list":
            least = chance.randint(0, 2)
            most = least + chance.randint(0, 2)
            return {"type": "array", "items": inner(), "minItems": least, "maxItems": most}
        case "tuple":
            return {"type": "array", "prefixItems": [inner(), inner()], "items": False}
        case "object":
            names = chance.sample(["a", "ab", "b", "c d", "é"], chance.randint(1, 4))
            required = [name for name in names if chance.random() < 0.6]
            properties = {name: inner() for name in names}
            return {"type": "object", "properties": properties, "required": required}
    return dict(chance.choice(LEAVES))


def random_expression(chance: random.Random, depth: int) -> str:
    """A regular expression of what can be held."""
    inner = lambda: random_expression(chance, depth - 1)  # noqa: E731
    kind = chance.choice(("leaf", "row", "row", "choice", "choice", "repeat")) if depth else "leaf"
    match kind:
        case "row":
            return "".join(inner() for _ in range(chance.randint(2, 3)))
        case "choice":
            return "(" + "|".join(inner() for _ in range(chance.randint(2, 4))) + ")"
        case "repeat":
            return f"({inner()}){chance.choice(('?', '*', '+', '{2}', '{0,2}', '{1,3}'))}"
    return chance.choice(("a", "b", "c", "[ab]", "[^c]", "-", r"\d", ".", "ab", "é"))
