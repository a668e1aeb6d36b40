"""Clients that read token streams and note when each piece came: over HTTP, and over gRPC.

Written against the wire, not against an SDK: the client shares the machine with what it measures,
so it must cost little. Knows nothing of what is behind the address.
"""

import asyncio
import json
import select
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc
from parley.serving.v1 import model_serving_pb2 as pb
from parley.serving.v1 import model_serving_pb2_grpc as pb_grpc

TIMEOUT_S = 300.0
DATA, DONE = b"data: ", b"[DONE]"
LAST_CHUNK = b"0\r\n\r\n"

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Taker(Protocol):
    """What is told of a stream."""

    error: str
    # What a refusal said.
    status: int
    retry_after: str

    def take(self, line: bytes) -> None:
        """Takes one data line."""


@dataclass(slots=True)
class Stream:
    """What one request brought; times are of `time.perf_counter`."""

    sent_s: float
    arrivals_s: list[float] = field(default_factory=list)
    tokens: int = 0
    error: str = ""
    migrations: int = 0
    # What a refusal said.
    status: int = 0
    retry_after: str = ""

    @property
    def first_s(self) -> float:
        """Seconds to the first piece."""
        return self.arrivals_s[0] - self.sent_s

    @property
    def gaps_s(self) -> list[float]:
        """Seconds between pieces."""
        return [b - a for a, b in zip(self.arrivals_s, self.arrivals_s[1:], strict=False)]

    def take(self, line: bytes) -> None:
        """Notes when tokens came and how many; some servers send the usage with the end."""
        if b'"error"' in line[:20]:
            self.error = line.decode(errors="replace")
        elif b'"completion_tokens":' in line:
            last = json.loads(line[len(DATA) :])
            self.tokens = last["usage"]["completion_tokens"]
            self.migrations = last.get("parley", {}).get("migrations", 0)
        elif b'"content":"' in line or b'"text":"' in line:
            self.arrivals_s.append(time.perf_counter())

    @property
    def per_token_s(self) -> float:
        """Mean seconds of a token behind the first."""
        return (self.arrivals_s[-1] - self.arrivals_s[0]) / max(self.tokens - 1, 1)


class Kept:
    """Connections that wait for their next request, as every SDK keeps them. Of one event loop."""

    def __init__(self) -> None:
        self._idle: list[Connection] = []

    def take(self) -> Connection | None:
        """One that its server has not ended meanwhile; None where there is none."""
        while self._idle:
            reader, writer = self._idle.pop()
            # Nothing is owed on it, so that what can be read is its end.
            if not select.select([writer.get_extra_info("socket")], [], [], 0)[0]:
                return reader, writer
            writer.close()
        return None

    def put(self, connection: Connection) -> None:
        """Keeps one whose answer was read to its end."""
        self._idle.append(connection)

    def close(self) -> None:
        """Closes all."""
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()


@dataclass(frozen=True, slots=True)
class HttpTarget:
    """An OpenAI-compatible server. `socket` is a unix socket to go through, empty for TCP."""

    host: str
    port: int
    key: str
    model: str
    socket: str = ""
    chat: bool = False

    async def stream(
        self, prompt_ids: Sequence[int], tokens: int, kept: Kept | None = None
    ) -> Stream:
        """Sends one streamed, greedy request and reads it to its end; on a connection out of `kept`
        where there is one, to which it goes back. Only for servers that end streams by [DONE]."""
        request = self.request(prompt_ids, tokens, keep=kept is not None)
        stream = Stream(time.perf_counter())
        try:
            async with asyncio.timeout(TIMEOUT_S):
                reader, writer = (kept and kept.take()) or await self.connect()
                stream.sent_s = time.perf_counter()
                writer.write(request)
                done = await read_events(reader, stream)
                if done and kept is not None:
                    await reader.readuntil(LAST_CHUNK)
                    kept.put((reader, writer))
                else:
                    writer.close()
                # Some servers send no [DONE]; the usage comes last with all of them.
                if not done and not stream.tokens and not stream.error:
                    stream.error = "the stream ended early"
        except (OSError, ValueError, asyncio.IncompleteReadError, TimeoutError) as error:
            stream.error = stream.error or repr(error)
        return stream

    async def connect(self) -> Connection:
        """Opens a connection."""
        if self.socket:
            return await asyncio.open_unix_connection(self.socket)
        return await asyncio.open_connection(self.host, self.port)

    def request(self, prompt_ids: Sequence[int], tokens: int, *, keep: bool = False) -> bytes:
        """The bytes of one streamed, greedy request."""
        path = "/v1/chat/completions" if self.chat else "/v1/completions"
        # A chat server gets text of as many tokens: three a word, and nine of the chat's template.
        words = " ".join(f"w{number % 97}" for number in prompt_ids[: (len(prompt_ids) - 9) // 3])
        prompt = (
            {"messages": [{"role": "user", "content": words}]}
            if self.chat
            else {"prompt": list(prompt_ids)}
        )
        body = {
            "model": self.model,
            **prompt,
            "max_tokens": tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        return self.post(path, body, keep=keep)

    def post(self, path: str, asked: Mapping[str, Any], *, keep: bool = False) -> bytes:
        """The bytes of one request, whose answer ends the connection unless that is to be kept."""
        body = json.dumps(asked).encode()
        close = "" if keep else "Connection: close\r\n"
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
            f"Authorization: Bearer {self.key}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n{close}\r\n"
        )
        return head.encode() + body


async def read_events(reader: asyncio.StreamReader, taker: Taker) -> bool:
    """Reads an event stream, gives its data lines to `taker`, and says whether [DONE] came.

    Ends early once the taker has an error, which is also where any status but 200 goes.
    """
    status = (await reader.readline()).split(b" ", 2)
    if len(status) < 2 or status[1] != b"200":
        taker.error = b" ".join(status).decode(errors="replace").strip() or "no answer"
        taker.status = int(status[1]) if len(status) > 1 and status[1].isdigit() else 0
        taker.retry_after = await _read_hint(reader)
        return False
    while (line := await reader.readline()) not in (b"\r\n", b""):
        pass
    while line := await reader.readline():
        if not line.startswith(DATA):
            continue  # a chunk's length, a comment or a blank line
        if line.startswith(DATA + DONE):
            return True
        taker.take(line)
        if taker.error:
            return False
    return False


async def _read_hint(reader: asyncio.StreamReader) -> str:
    """When to ask again, as a refusal's headers say it; empty where they do not."""
    while (line := await reader.readline()) not in (b"\r\n", b""):
        name, _, value = line.partition(b":")
        if name.lower() == b"retry-after":
            return value.strip().decode(errors="replace")
    return ""


class GrpcTarget:
    """A ModelServing server, reached directly or through a proxy."""

    def __init__(self, address: str, key: str = "") -> None:
        self._channel = grpc.aio.insecure_channel(address)
        self._stub = pb_grpc.ModelServingStub(self._channel)
        self._metadata = (("authorization", f"Bearer {key}"),) if key else ()

    async def stream(self, prompt_ids: Sequence[int], tokens: int) -> Stream:
        """Sends one greedy request and reads it to its end."""
        request = pb.GenerateRequest(
            tokens=pb.TokenIds(ids=prompt_ids),
            sampling=pb.Sampling(temperature=0),
            stopping=pb.Stopping(tokens_max=tokens),
        )
        stream = Stream(time.perf_counter())
        try:
            call = self._stub.Generate(request, metadata=self._metadata, timeout=TIMEOUT_S)
            async for event in call:
                if event.HasField("delta"):
                    stream.arrivals_s.append(time.perf_counter())
                elif event.HasField("finished"):
                    stream.tokens = event.finished.usage.completion_tokens
        except grpc.aio.AioRpcError as error:
            stream.error = f"{error.code().name}: {error.details()}"
        return stream

    async def close(self) -> None:
        """Closes the channel."""
        await self._channel.close()
