"""A replica that is asked to end while it answers: nobody notices."""

import asyncio
import signal
from collections.abc import Callable

from bench.rotation import Envoy
from bench.streams import HttpTarget
from stack.up import Running

from .replica import ReplicaProbe

MODEL = "talkative"
STREAMS = 32
# Over long before the drain would be.
TOKENS = 200
WAIT_S = 120.0


async def test_streams_shorter_than_the_drain_end_where_they_began(
    talking: Callable[[int], Running],
):
    """SIGTERM to the busier of two replicas under 32 streams, which new ones follow: each ends
    whole, and none has moved."""
    pair = talking(2)
    target = HttpTarget("127.0.0.1", pair.plan.ports.edge, pair.api_key, MODEL)
    envoy = Envoy.of(pair)
    # A stack is up when one replica is reached; this one strikes at a certain one.
    assert await envoy.until(2, WAIT_S)
    await envoy.close()
    with ReplicaProbe(pair, "serving-0") as probe:
        process = probe.process()
        first = [asyncio.create_task(target.stream([300 + n, 301], TOKENS)) for n in range(STREAMS)]
        await asyncio.to_thread(probe.seconds_until, lambda model: model.running > 0, WAIT_S)
        process.send_signal(signal.SIGTERM)
    later = [target.stream([400 + n, 401], TOKENS) for n in range(STREAMS)]
    streams = [*await asyncio.gather(*later), *await asyncio.gather(*first)]
    assert [stream.error for stream in streams if stream.error] == []
    assert all(stream.tokens for stream in streams)
    assert sum(stream.migrations for stream in streams) == 0
    assert await asyncio.to_thread(process.wait, WAIT_S) in (0, None)
