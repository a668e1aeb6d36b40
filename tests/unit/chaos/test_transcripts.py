"""What a client keeps of a stream, from a server that sends just these bytes."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from bench.streams import HttpTarget
from bench.transcripts import Transcript, fetch

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
DONE = b"data: [DONE]\n\n"
Asks = Callable[[bytes], Awaitable[Transcript]]


@asynccontextmanager
async def server(answer: bytes) -> AsyncIterator[HttpTarget]:
    """Reads a request's head, sends the answer and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    opened = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with opened:
        yield HttpTarget("127.0.0.1", opened.sockets[0].getsockname()[1], "key", "model")


@pytest.fixture
def ask() -> Asks:
    """Has a client read such an answer."""

    async def asked(answer: bytes) -> Transcript:
        async with server(answer) as target:
            return await fetch(target, {"prompt": "x"})

    return asked


def frame(text: str = "", index: int = 0, finish: str | None = None, **more: object) -> bytes:
    """One chunk of a completion."""
    choice = {"index": index, "text": text, "logprobs": None, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "a", "choices": [choice], **more}).encode() + b"\n\n"


LAST = {"id": "a", "choices": [], "usage": {"completion_tokens": 3}, "parley": {"migrations": 2}}


async def test_all_that_was_said_is_kept(ask: Asks):
    """Texts by choice, finishes, usage, migrations, the end; comments are passed over."""
    last = b"data: " + json.dumps(LAST).encode() + b"\n\n"
    pieces = [frame("a"), b": keep-alive\n\n", frame("x", 1), frame("b"), frame(finish="stop")]
    told = await ask(OK + b"".join([*pieces, frame(index=1, finish="length"), last, DONE]))
    assert (told.texts, told.finishes) == ({0: "ab", 1: "x"}, {0: "stop", 1: "length"})
    assert (told.usage, told.migrations, told.ids) == ({"completion_tokens": 3}, 2, 1)
    assert (told.done, told.error) == (True, "")
    assert told.sent_s < told.first_s <= told.ended_s
    assert 0 < told.stall_s <= told.ended_s - told.first_s


async def test_tokens_of_log_probabilities_are_kept(ask: Asks):
    """Each one, in order."""
    choice = {"index": 0, "text": "ab", "finish_reason": None, "logprobs": {"tokens": ["a", "b"]}}
    line = b"data: " + json.dumps({"id": "a", "choices": [choice]}).encode() + b"\n\n"
    assert (await ask(OK + line + line + DONE)).tokens == ["a", "b"] * 2


async def test_an_answer_in_two_halves_is_seen(ask: Asks):
    """A second id in one stream is a second answer."""
    other = frame("b").replace(b'"id": "a"', b'"id": "b"')
    assert (await ask(OK + frame("a") + other + DONE)).ids == 2


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "503 Service Unavailable"),
        (b"", "no answer"),
        (OK + frame("a"), "ended early"),
        (OK + frame("a") + b'data: {"error": {"code": "gone", "message": "It died."}}\n\n', "gone"),
        (OK + b"data: no JSON\n\n", "JSONDecodeError"),
    ],
    ids=["status", "nothing", "no [DONE]", "error frame", "no JSON"],
)
async def test_what_goes_wrong_is_the_transcripts_error(ask: Asks, answer: bytes, words: str):
    """Nothing is raised, and nothing that broke seems done."""
    told = await ask(answer)
    assert words in told.error
    assert not told.done


async def test_nobody_there_is_an_error():
    """A refused connection is one failed stream, not the end of the run."""
    told = await fetch(HttpTarget("127.0.0.1", 1, "key", "model"), {})
    assert "refused" in told.error.lower()
