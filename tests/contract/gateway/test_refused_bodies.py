"""Bodies that are too large, no JSON, or not what they should be: a 4xx in OpenAI's shape."""

import asyncio
import json
import random
from typing import Any

import httpx
import pytest

from tests.fakes.facade import LEFT_OUT, MESSAGES, Facade, running
from tests.fakes.serving import MODEL

PATH = "/v1/chat/completions"
JSON = {"content-type": "application/json"}
LIMIT = 1 << 20
GOOD = {"model": MODEL, "messages": MESSAGES}


def _assert_shape(reply: httpx.Response) -> dict[str, Any]:
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"] and error["type"]
    assert reply.headers["x-request-id"]
    return error


def _body_of(size: int) -> bytes:
    empty = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": ""}]}).encode()
    return empty.replace(b'""', b'"' + b"x" * (size - len(empty)) + b'"')


async def test_body_at_the_limit_is_taken(facade: Facade) -> None:
    """1 MiB to the byte."""
    reply = await facade.http.post(PATH, content=_body_of(LIMIT), headers=JSON)
    assert reply.status_code == 200


async def test_body_over_the_limit_is_refused_by_its_length(facade: Facade) -> None:
    """413, and no replica hears of it."""
    reply = await facade.http.post(PATH, content=_body_of(LIMIT + 1), headers=JSON)
    assert reply.status_code == 413
    assert _assert_shape(reply)["code"] == "request_too_large"
    assert not facade.serving.seen.requests


async def test_body_over_the_limit_is_refused_while_it_comes(facade: Facade) -> None:
    """Also where no length was told."""

    async def pieces():
        for _ in range(40):
            yield b" " * (LIMIT // 32)

    reply = await facade.http.post(PATH, content=pieces(), headers=JSON)
    assert reply.status_code == 413


async def test_body_that_does_not_come_is_not_waited_for(settings_with) -> None:
    """408 after `body_s`."""
    async with running(settings_with(body_s=0.1)) as facade:
        host, port = facade.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\n"
            b"content-type: application/json\r\ncontent-length: 100\r\n\r\n{"
        )
        async with asyncio.timeout(5):
            assert await reader.readuntil(b"\r\n") == b"HTTP/1.1 408 Request Timeout\r\n"
        writer.close()


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_body_of_another_kind_is_refused(facade: Facade, kind: str) -> None:
    """What a foreign page can send without asking is not taken for JSON."""
    headers = {"content-type": kind} if kind else {}
    reply = await facade.http.post(PATH, content=b"{}", headers=headers)
    assert reply.status_code == 415
    _assert_shape(reply)


@pytest.mark.parametrize("body", [b"\xff", b"[" * 100_000, b'{"model": NaN}', b""])
async def test_body_that_is_no_json_is_a_400(facade: Facade, body: bytes) -> None:
    """Never FastAPI's 422."""
    reply = await facade.http.post(PATH, content=body, headers=JSON)
    assert reply.status_code == 400
    assert _assert_shape(reply)["code"] == "invalid_json"


async def test_refusal_names_its_parameter(facade: Facade) -> None:
    """As the SDK shows it."""
    reply = await facade.post(messages=LEFT_OUT)
    assert _assert_shape(reply)["param"] == "messages"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/v1", 404),
        ("GET", "/v1/models/", 404),
        ("POST", "/v1/embeddings", 404),
        ("GET", "/docs", 404),
        ("GET", "/openapi.json", 404),
        ("GET", PATH, 405),
        ("DELETE", "/v1/models", 405),
        ("PUT", "/login", 405),
    ],
)
async def test_wrong_address_or_method_has_openais_shape(
    facade: Facade, method: str, path: str, status: int
) -> None:
    """404 and 405, and a 405 says what is allowed."""
    reply = await facade.http.request(method, path)
    assert reply.status_code == status
    assert ("allow" in reply.headers) is (status == 405)
    _assert_shape(reply)


@pytest.mark.slow
async def test_no_bytes_make_a_5xx(facade: Facade) -> None:
    """Random bytes, and a good body with bytes of it changed: an answer or a 4xx in our shape."""
    dice = random.Random(20_261_122)
    good = bytearray(json.dumps(GOOD | {"n": 2, "stop": ["x"], "temperature": 0.5}).encode())
    for _ in range(300):
        body = bytearray(good) if dice.random() < 0.7 else bytearray(dice.randbytes(40))
        for _ in range(dice.randrange(1, 4)):
            body[dice.randrange(len(body))] = dice.randrange(256)
        reply = await facade.http.post(PATH, content=bytes(body), headers=JSON)
        assert reply.status_code < 500, bytes(body)
        if reply.status_code != 200:
            _assert_shape(reply)
