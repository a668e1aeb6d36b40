"""What the OpenAPI document says of the two generating endpoints is what they take."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gateway.api.openapi import PATH
from tests.fakes.facade import MESSAGES, PROMPTS, Facade

PATHS = list(PROMPTS)


async def _schema(facade: Facade, path: str) -> Draft202012Validator:
    document = (await facade.http.get(PATH)).json()
    asked = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    return Draft202012Validator({**asked, "components": document["components"]})


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"prompt_cache_key": "k"},
        {"prompt_cache_key": None},
        {"prompt_cache_key": "k" * 257},
        {"prompt_cache_key": 7},
        {"stop": "a"},
        {"stop": ["a", "b"]},
        {"stop": [1]},
        {"n": 0},
        {"top_p": 0},
        {"seed": -1},
        {"logit_bias": {}},
        {"logit_bias": {"1": 2}},
        {"response_format": {"type": "regex", "regex": "a+"}},
        {"response_format": {"type": "xml"}},
        {"surprise": 1},
    ],
)
async def test_what_it_says_is_what_is_taken(
    facade: Facade, path: str, change: dict[str, Any]
) -> None:
    """A body that keeps to the schema is answered, any other is refused."""
    schema = await _schema(facade, path)
    body = {**PROMPTS[path], "model": "parley-starter", **change}
    reply = await facade.http.post(path, json=body)
    assert schema.is_valid(body) == (reply.status_code == 200)


async def test_messages_that_an_sdk_sends_back_are_in_it(facade: Facade) -> None:
    """With the fields that an answer's message has, and content in parts."""
    schema = await _schema(facade, PATHS[0])
    told = {"role": "assistant", "content": "a", "refusal": None, "annotations": []}
    parts = {"role": "user", "content": [{"type": "text", "text": "a"}]}
    body = {"model": "parley-starter", "messages": [*MESSAGES, told, parts]}
    assert schema.is_valid(body)
    assert (await facade.post(**body)).status_code == 200


@pytest.mark.parametrize("path", PATHS)
async def test_the_key_of_a_conversation_is_explained(facade: Facade, path: str) -> None:
    """Its bound, and what it is for."""
    schema = (await _schema(facade, path)).schema
    name = schema["$ref"].rpartition("/")[2]
    key = schema["components"]["schemas"][name]["properties"]["prompt_cache_key"]
    assert {"type": "string", "maxLength": 256} in key["anyOf"]
    assert "conversation" in key["description"]
