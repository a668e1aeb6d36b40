"""Stands where Envoy stands: a completions server without a model, and Envoy's admin socket.

    python fake_edge.py PORT ADMIN MANNER REPLICA_SOCKET...

Each answer follows from its prompt. Says that a replica is healthy when that has answered for a
while, as one that makes health checks does. In the manner `gaps` every answer after the undisturbed
ones lacks a piece.
"""

import asyncio
import hashlib
import json
import sys
import time
from pathlib import Path

from bench.chaos.workload import QUESTIONS

PIECES = 8
PIECE_S = 0.03
ASK_S = 0.3
# A stand-in is back within 0.1 s: looked at less often, its absence would go unseen; and the
# harness, which looks less often, sees it for as long as it is kept away.
LOOK_S, BACK_AFTER_S = 0.02, 2.0
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n"
answers = 0


async def main(port: str, admin: str, manner: str, *replicas: str) -> None:
    """Serves until it is ended."""

    async def edge(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        await answer(json.loads(await reader.readexactly(length)), writer, manner)
        writer.close()

    async def stats(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        healthy = sum(time.monotonic() > at_s for at_s in healthy_from_s.values())
        body = f"cluster.serving.membership_healthy: {healthy}\n".encode()
        writer.write(OK + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    async def look(path: str) -> None:
        while True:
            if not await answers_now(path):
                healthy_from_s[path] = time.monotonic() + BACK_AFTER_S
            await asyncio.sleep(LOOK_S)

    healthy_from_s = dict.fromkeys(replicas, 0.0)
    looks = [asyncio.create_task(look(path)) for path in replicas]
    Path(admin).unlink(missing_ok=True)  # noqa: ASYNC240 (at start-up, once)
    await asyncio.start_server(edge, "127.0.0.1", int(port))
    async with await asyncio.start_unix_server(stats, admin) as server:
        await asyncio.gather(server.serve_forever(), *looks)


async def answer(asked: dict, writer: asyncio.StreamWriter, manner: str) -> None:
    """One stream."""
    global answers
    answers += 1
    whole = hashlib.sha512(str(asked["prompt"]).encode()).hexdigest()
    step = len(whole) // PIECES
    pieces = [whole[at : at + step] for at in range(0, len(whole), step)]
    if manner == "gaps" and answers > QUESTIONS:
        del pieces[3]
    writer.write(OK + b"\r\n")
    for piece in pieces:
        writer.write(_chunk([_choice(index, piece) for index in range(asked.get("n", 1))]))
        await asyncio.sleep(PIECE_S)
    writer.write(_chunk([_choice(index, "", "stop") for index in range(asked.get("n", 1))]))
    writer.write(_chunk([], usage={"completion_tokens": PIECES}, parley={"migrations": 0}))
    writer.write(b"data: [DONE]\n\n")
    await writer.drain()


async def answers_now(path: str) -> bool:
    """Whether a stand-in says anything."""
    try:
        async with asyncio.timeout(ASK_S):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            said = await reader.readline()
            writer.close()
    except (OSError, TimeoutError):
        return False
    return bool(said)


def _choice(index: int, text: str, finish: str | None = None) -> dict:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish}


def _chunk(choices: list[dict], **more: object) -> bytes:
    return b"data: " + json.dumps({"id": "a", "choices": choices, **more}).encode() + b"\n\n"


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
