"""Clients that hardly read hold up nobody else."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable

from bench.figures import spread
from bench.streams import HttpTarget
from stack.up import Running

from .replica import ReplicaProbe

MODEL = "talkative"
SLOW = 64
NORMAL = 32
ROUNDS = 3
TOKENS = 32
SLOW_TOKENS = 300
WAIT_S = 120.0
BYTE_EVERY_S = 1.0


@contextlib.asynccontextmanager
async def slow_readers(running: Running) -> AsyncIterator[None]:
    """Clients with the smallest buffers there are, who read a byte a second each."""
    body = json.dumps({"model": MODEL, "prompt": [300], "max_tokens": SLOW_TOKENS, "stream": True})
    request = (
        f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {running.api_key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
    loop = asyncio.get_running_loop()

    async def trickle() -> None:
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            connection.setblocking(False)
            await loop.sock_connect(connection, ("127.0.0.1", running.plan.ports.edge))
            await loop.sock_sendall(connection, request)
            while await loop.sock_recv(connection, 1):  # noqa: ASYNC110 (its speed)
                await asyncio.sleep(BYTE_EVERY_S)

    tasks = [asyncio.create_task(trickle()) for _ in range(SLOW)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def p95_ms(target: HttpTarget) -> float:
    """Of the time to the first token, over some rounds of streams."""
    firsts_s: list[float] = []
    for number in range(ROUNDS):
        asked = [target.stream([400 + number, 300 + n], TOKENS) for n in range(NORMAL)]
        streams = await asyncio.gather(*asked)
        assert [stream.error for stream in streams if stream.error] == []
        firsts_s += [stream.first_s for stream in streams]
    return spread(firsts_s).p95_ms


async def test_slow_readers_hold_up_nobody(talking: Callable[[int], Running], record_property):
    """The engine gets done with 64 of them, and 32 others are all answered meanwhile. How soon is
    told, not judged: that is the machine's as much as ours."""
    roomy = talking(1)
    target = HttpTarget("127.0.0.1", roomy.plan.ports.edge, roomy.api_key, MODEL)
    await p95_ms(target)  # what is new to everyone
    usual_ms = await p95_ms(target)
    with ReplicaProbe(roomy) as probe:
        async with slow_readers(roomy):
            await asyncio.to_thread(probe.seconds_until, lambda model: model.running > 0, WAIT_S)
            await asyncio.to_thread(probe.idle_s, WAIT_S)
            beside_ms = await p95_ms(target)
    print(f"p95 of the first token: {usual_ms} ms alone, {beside_ms} ms beside {SLOW} slow readers")
    record_property("first_token_p95_ms", (usual_ms, beside_ms))
