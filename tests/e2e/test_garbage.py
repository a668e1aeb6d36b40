"""Bytes that mean nothing, sent to a running stack: each is answered in shape, and it goes on."""

import random

import httpx
import openai

from stack.up import Running

REQUESTS = 2_000
PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/models", "/v1/models/%00", "/v1/nothing",
         "/login", "//v1/models", "/v1/../v1/models", "/v1%2Fmodels")  # fmt: skip
PIECES = (b"{", b"}", b"[", b"]", b'"', b":", b",", b"null", b"NaN", b"1e999", b"-0", b"\xff\xfe",
          b"\xed\xa0\x80", b"\\ud800", b"\x00", b'"messages"', b'"model"', b'"prompt"', b'"n"',
          b'"parley-starter"', b"true", b'"role"', b'"content"', b'"user"', b" ")  # fmt: skip


def test_random_bodies_never_break_the_facade(stack: Running, client: openai.OpenAI):
    """No random body gives a 5xx or a traceback, every refusal has an error, and chat goes on."""
    chance = random.Random(20261122)
    headers = {"authorization": f"Bearer {stack.api_key}", "content-type": "application/json"}
    with httpx.Client(base_url=stack.site, headers=headers, timeout=30) as http:
        for number in range(REQUESTS):
            body = _garbage(chance)
            method = chance.choice(("POST", "POST", "POST", "GET", "PUT", "DELETE"))
            answer = http.request(method, chance.choice(PATHS), content=body)
            assert answer.status_code < 500, (number, body, answer.text)
            assert "Traceback" not in answer.text
            if answer.status_code >= 400:
                assert answer.json()["error"]["message"], (number, body)
    assert client.models.list().data


def test_deep_json_is_refused(stack: Running):
    """A body nested a thousand deep is a bad request, not a crash."""
    headers = {"authorization": f"Bearer {stack.api_key}", "content-type": "application/json"}
    for deep in (b"[" * 1_000, b'{"a":' * 100_000, b"[" * 100_000 + b"]" * 100_000):
        answer = httpx.post(f"{stack.base_url}/chat/completions", content=deep, headers=headers)
        assert answer.status_code == 400
        assert answer.json()["error"]["type"] == "invalid_request_error"


def _garbage(chance: random.Random) -> bytes:
    if chance.random() < 0.3:
        return chance.randbytes(chance.randint(0, 300))
    return b"".join(chance.choices(PIECES, k=chance.randint(0, 40)))
