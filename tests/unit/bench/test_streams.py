"""Connections that a client keeps from one stream to the next."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from bench.streams import HttpTarget, Kept

ANSWER = (
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    b'34\r\ndata: {"choices":[],"usage":{"completion_tokens":3}}\n\n\r\n'
    b"e\r\ndata: [DONE]\n\n\r\n"
    b"0\r\n\r\n"
)


class Server:
    """Answers every request with the same stream."""

    def __init__(self) -> None:
        self.connections: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers on one connection until it ends."""
        self.connections.append(writer)
        with suppress(asyncio.IncompleteReadError):  # which is its end
            while head := await reader.readuntil(b"\r\n\r\n"):
                (length,) = re.findall(rb"Content-Length: (\d+)", head)
                await reader.readexactly(int(length))
                writer.write(ANSWER)
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Server, HttpTarget, Kept]]:
    """A server, what asks it, and the connections that are kept to it."""
    server = Server()
    kept = Kept()
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        yield server, HttpTarget("127.0.0.1", port, "key", "model"), kept
        kept.close()
        for writer in server.connections:
            await writer.wait_closed()


async def test_the_next_stream_is_on_the_connection_of_the_last():
    """And is whole, for nothing of the one before is left on it."""
    async with serving() as (server, target, kept):
        for _ in range(3):
            stream = await target.stream([1, 2], 3, kept)
            assert (stream.error, stream.tokens) == ("", 3)
        assert len(server.connections) == 1


async def test_a_connection_that_the_server_has_ended_is_not_used_again():
    """As one that was idle for too long."""
    async with serving() as (server, target, kept):
        await target.stream([1, 2], 3, kept)
        server.connections[0].close()
        await server.connections[0].wait_closed()
        stream = await target.stream([1, 2], 3, kept)
        assert (stream.error, stream.tokens) == ("", 3)
        assert len(server.connections) == 2
