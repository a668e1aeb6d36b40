"""A client that leaves cancels its generation, in every phase."""

import asyncio
import json

import pytest

from services.rpc import errors
from tests.fakes.facade import MESSAGES, Facade, running
from tests.fakes.serving import MODEL


async def _ask(
    facade: Facade, *, stream: bool
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    body = json.dumps({"model": MODEL, "messages": MESSAGES, "stream": stream}).encode()
    host, port = facade.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n%b" % (len(body), body)
    )
    return reader, writer


@pytest.mark.parametrize("stream", [True, False])
async def test_leaving_the_queue_cancels(facade: Facade, stream: bool) -> None:
    """Before the first byte of an answer."""
    facade.serving.script.admit = asyncio.Event()
    _, writer = await _ask(facade, stream=stream)
    await facade.serving.seen.until("requests")
    writer.close()
    await facade.serving.seen.until("cancelled", wait_s=1)


async def test_leaving_the_queue_after_the_headers_cancels(settings_with) -> None:
    """While keep-alive comments are all that came."""
    async with running(settings_with(first_event_wait_s=0.05)) as facade:
        facade.serving.script.admit = asyncio.Event()
        reader, writer = await _ask(facade, stream=True)
        await reader.readuntil(b": keep-alive\n\n")
        writer.close()
        await facade.serving.seen.until("cancelled", wait_s=1)


async def test_leaving_while_retrying_ends_the_retries(settings_with) -> None:
    """Nobody is asked again for a client that is gone."""
    async with running(settings_with(retry_s=30)) as facade:
        refusal = errors.Unavailable("Not yet.", reason="MODEL_LOADING")
        facade.serving.script.refusals = [refusal] * 1000
        _, writer = await _ask(facade, stream=False)
        await facade.serving.seen.until("requests", 2)
        writer.close()
        await facade.until_idle(wait_s=1)


async def test_leaving_a_stream_cancels(facade: Facade) -> None:
    """In the middle of the tokens."""
    facade.serving.script.resume, facade.serving.script.resume_at = asyncio.Event(), 3
    reader, writer = await _ask(facade, stream=True)
    await reader.readuntil(b'"content":"wor"')
    writer.close()
    await facade.serving.seen.until("cancelled", wait_s=1)


async def test_leaving_an_answer_in_one_piece_cancels(facade: Facade) -> None:
    """While it grows unseen."""
    facade.serving.script.resume, facade.serving.script.resume_at = asyncio.Event(), 3
    _, writer = await _ask(facade, stream=False)
    await facade.serving.seen.until("sent", 3)
    writer.close()
    await facade.serving.seen.until("cancelled", wait_s=1)


async def test_two_hundred_disconnects_leave_nothing_behind(facade: Facade) -> None:
    """Every call is cancelled, and the facade answers the next as if nothing had been."""
    facade.serving.script.resume, facade.serving.script.resume_at = asyncio.Event(), 3

    async def leave() -> None:
        reader, writer = await _ask(facade, stream=True)
        await reader.readuntil(b'"content":"wor"')
        writer.close()

    for _ in range(10):
        await asyncio.gather(*(leave() for _ in range(20)))
    await facade.serving.seen.until("cancelled", 200)
    facade.serving.script.resume.set()
    assert (await facade.post()).status_code == 200


async def test_leaving_during_the_body_asks_nobody(facade: Facade) -> None:
    """A request that never came whole starts nothing."""
    reader, writer = await _ask(facade, stream=False)
    host, port = facade.url.removeprefix("http://").split(":")
    _, half = await asyncio.open_connection(host, int(port))
    half.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\n"
        b"content-length: 100\r\n\r\n{"
    )
    half.close()
    assert await reader.readuntil(b"\r\n") == b"HTTP/1.1 200 OK\r\n"
    writer.close()
    assert len(facade.serving.seen.requests) == 1
