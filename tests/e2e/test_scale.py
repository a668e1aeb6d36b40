"""Replicas that come and go under streams."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from bench.streams import HttpTarget, Stream
from stack.scaling import scale
from stack.supervisor import Supervisor
from stack.up import Running

from .replica import ReplicaProbe

MODEL = "talkative"
STREAMS = 16
TOKENS = 120
WAIT_S = 120.0


@contextlib.asynccontextmanager
async def load(target: HttpTarget) -> AsyncIterator[list[Stream]]:
    """So many streams at a time, begun anew as they end; the last ones end with the block."""
    found: list[Stream] = []
    ending = asyncio.Event()

    async def one_after_another(number: int) -> None:
        while not ending.is_set():
            found.append(await target.stream([300 + number, 301], TOKENS))

    async with asyncio.TaskGroup() as group:
        for number in range(STREAMS):
            group.create_task(one_after_another(number))
        yield found
        ending.set()


def until_busy(running: Running, name: str) -> float:
    """Waits until a replica answers somebody."""
    with ReplicaProbe(running, name) as probe:
        return probe.seconds_until(lambda model: model.running > 0, WAIT_S)


async def test_replicas_come_and_go_under_streams(talking: Callable[[int], Running]):
    """From one to three and back: the new ones take streams, no stream fails or moves, and nothing
    else is restarted."""
    single = talking(1)
    home = single.plan.home
    before = {name: process.pid for name, process in Supervisor(home).processes().items()}
    target = HttpTarget("127.0.0.1", single.plan.ports.edge, single.api_key, MODEL)
    async with load(target) as streams:
        grown = await asyncio.to_thread(scale, home, 3)
        for name in grown.added:
            await asyncio.to_thread(until_busy, single, name)
        shrunk = await asyncio.to_thread(scale, home, 1)
        ended = len(streams)
    assert grown.added == shrunk.removed == ("serving-1", "serving-2")
    assert len(streams) > ended
    assert [stream.error for stream in streams if stream.error] == []
    assert sum(stream.migrations for stream in streams) == 0
    after = {name: process.pid for name, process in Supervisor(home).processes().items()}
    assert after == before
