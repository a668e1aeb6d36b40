"""What a stream notices of a replica that is killed under it, where there is another one."""

import asyncio

from bench.faults import SOAK_STREAMS, WAIT_S_MAX, Replica
from bench.figures import Failover, spread
from bench.rotation import Envoy
from bench.streams import HttpTarget, Stream
from stack.up import Running

TOKENS = 600
# By then all streams have begun, and none is near its end.
UNDER_WAY_S = 0.5


async def measure(running: Running, target: HttpTarget, *, kills: int) -> Failover:
    """Kills the busier one of two replicas under 32 streams, so many times."""
    replicas = [Replica(running, name) for name in running.plan.replicas()]
    envoy = Envoy.of(running)
    found: list[Stream] = []
    for _ in range(kills):
        if not await envoy.until(len(replicas), WAIT_S_MAX):
            raise SystemExit("parley: a killed replica was not back within a minute")
        found += await _kill_under_streams(replicas, target)
    for one in (envoy, *replicas):
        await one.close()
    moved = [stream for stream in found if stream.migrations]
    return Failover(
        kills,
        len(found),
        sum(bool(stream.error) for stream in found),
        sum(stream.migrations for stream in moved),
        spread([max(stream.gaps_s) for stream in moved if stream.gaps_s]),
    )


async def _kill_under_streams(replicas: list[Replica], target: HttpTarget) -> list[Stream]:
    tasks = [
        asyncio.create_task(target.stream([300 + number, 301], TOKENS))
        for number in range(SOAK_STREAMS)
    ]
    await asyncio.sleep(UNDER_WAY_S)
    loads = [(await replica.model()).running for replica in replicas]
    replicas[loads.index(max(loads))].process().kill()
    return await asyncio.gather(*tasks)
