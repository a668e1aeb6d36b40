"""POST /api/v1/datasets: bytes that stream through the facade, bounded."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator

import httpx
import pytest

from gateway.streams import upload
from tests.fakes.facade import Facade, running

PATH = "/api/v1/datasets?name=talks.jsonl"
LINE = b'{"prompt": "Who?", "completion": "Parley."}\n'


async def test_dataset_is_stored_byte_by_byte(facade: Facade) -> None:
    """Whatever the pieces that it comes in; no message is larger than the contract allows."""
    body = LINE * 50_000
    reply = await facade.http.post(PATH, content=body)
    dataset = reply.json()["dataset"]
    assert dataset["digest"] == hashlib.sha256(body).hexdigest()
    assert (dataset["name"], dataset["size_bytes"]) == ("talks.jsonl", len(body))
    assert facade.feedback.datasets[dataset["digest"]] == body
    assert max(facade.feedback.chunks) <= upload.CHUNK_BYTES


async def test_name_of_the_client_and_of_the_request_go_along(facade: Facade) -> None:
    """As with every other call."""
    headers = {"x-parley-client": "ann", "x-request-id": "r-1"}
    await facade.http.post(PATH, content=LINE, headers=headers)
    sent = facade.feedback.metadata[-1]
    assert (sent["x-parley-principal"], sent["x-request-id"]) == ("ann", "r-1")


async def test_wrong_line_is_named(facade: Facade) -> None:
    """In the service's words."""
    reply = await facade.http.post(PATH, content=LINE + b"no\n")
    assert (reply.status_code, reply.json()["reason"]) == (400, "DATASET_INVALID")
    assert "Line 2" in reply.json()["detail"]


@pytest.mark.parametrize("query", ["", "?name=", "?name=a&name=b", "?nam=a"])
async def test_dataset_without_a_name_is_refused(facade: Facade, query: str) -> None:
    """Before a byte is read."""
    reply = await facade.http.post(f"/api/v1/datasets{query}", content=LINE)
    assert reply.status_code == 400
    assert not facade.feedback.metadata


async def test_too_large_a_body_is_refused_by_its_length(
    facade: Facade, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And, where it does not say its length, by its bytes."""
    monkeypatch.setattr(upload, "BYTES_MAX", 1000)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield LINE

    for content in (LINE * 100, pieces()):
        with contextlib.suppress(httpx.WriteError, httpx.ReadError):
            reply = await facade.http.post(PATH, content=content)
            assert (reply.status_code, reply.json()["reason"]) == (413, "REQUEST_TOO_LARGE")
    assert not facade.feedback.datasets


async def test_refusal_of_the_service_is_heard(facade: Facade) -> None:
    """In its own words."""
    facade.feedback.bytes_max = 1000
    reply = await facade.http.post(PATH, content=LINE * 100_000)
    assert (reply.status_code, reply.json()["reason"]) == (429, "DATASET_TOO_LARGE")


async def test_service_that_goes_away_is_a_503(facade: Facade) -> None:
    """In the middle of the bytes, too."""

    async def pieces() -> AsyncIterator[bytes]:
        yield LINE * 10_000
        await facade.stop_replica()
        for _ in range(50):
            yield LINE * 10_000

    reply = await facade.http.post(PATH, content=pieces())
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")


async def test_body_that_stops_coming_is_given_up(settings_with) -> None:
    """After the wait for a piece, and nothing is stored."""
    async with running(settings_with(body_s=0.1)) as facade:
        address = httpx.URL(facade.url)
        reader, writer = await asyncio.open_connection(address.host, address.port)
        head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n"
        writer.write(head.encode() + LINE)
        async with asyncio.timeout(5):
            reply = await reader.readuntil(b"}")
        writer.close()
        assert reply.startswith(b"HTTP/1.1 408")
        assert b"REQUEST_TIMEOUT" in reply
        assert not facade.feedback.datasets
