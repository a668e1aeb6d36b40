"""Ways of reading a request's events while the test moves the engine."""

import asyncio

from tests.unit.serving.conftest import WAIT_S


async def take(events, number=1):
    """The next events."""
    async with asyncio.timeout(WAIT_S):
        return [await anext(events) for _ in range(number)]


async def rest(events):
    """All events to the end."""
    async with asyncio.timeout(WAIT_S):
        return [event async for event in events]


async def run(bench, events, steps=50):
    """All events of a request whose engine takes its steps at once after Started."""
    first = await take(events)
    bench.engine.step(steps)
    return first + await rest(events)


async def by_steps(bench, events):
    """All events, with one step before each look."""
    found = await take(events)
    async with asyncio.timeout(WAIT_S):
        while True:
            bench.engine.step()
            try:
                found.append(await anext(events))
            except StopAsyncIteration:
                return found
