"""How fast the mesh lets go and comes back: clients that leave, processes that die.

Counts are the engine's own, asked from the replica past Envoy and the facade.
"""

import asyncio
import contextlib
import random
import time

import grpc
import psutil
from parley.serving.v1 import model_serving_pb2 as pb
from parley.serving.v1 import model_serving_pb2_grpc as pb_grpc

from bench.figures import Faults, Soak, spread
from bench.streams import DATA, HttpTarget
from stack.up import Running

TOKENS_MAX = 900
POLL_S = 0.002
WAIT_S_MAX = 60.0
SOAK_STREAMS = 32


async def measure(running: Running, target: HttpTarget, *, leaves: int, soak_s: float) -> Faults:
    """Runs all of it against one stack with one replica."""
    replica = Replica(running)
    waits_s = []
    for _ in range(leaves):
        await _leave_after(target, 5)
        waits_s.append(await replica.idle_s())
    soak = await _soak(replica, target, soak_s)
    engine_back_s = await _kill(replica.engine(), target)
    await replica.idle_s()
    replica_back_s = await _kill(replica.process(), target)
    await replica.close()
    return Faults(
        spread(waits_s), round(max(waits_s) * 1000, 1), engine_back_s, replica_back_s, soak
    )


class Replica:
    """A replica from inside: its own count, and its processes."""

    def __init__(self, running: Running, name: str = "serving-0") -> None:
        self._address = f"unix:{running.plan.home.socket(name)}"
        self._channel = grpc.aio.insecure_channel(
            self._address, options=[("grpc.max_reconnect_backoff_ms", 200)]
        )
        self._stub = pb_grpc.ModelServingStub(self._channel)

    async def model(self) -> pb.LoadedModel:
        """What the replica says of its model."""
        request = pb.ListLoadedModelsRequest()
        answer = await self._stub.ListLoadedModels(request, wait_for_ready=True, timeout=WAIT_S_MAX)
        return answer.models[0]

    async def idle_s(self) -> float:
        """Seconds until no sequence runs or waits."""
        began_s = time.perf_counter()
        while (model := await self.model()).running or model.waiting:  # noqa: ASYNC110 (not our event)
            await asyncio.sleep(POLL_S)
        return time.perf_counter() - began_s

    def process(self) -> psutil.Process:
        """The replica's process."""
        return next(
            process
            for process in psutil.process_iter(["cmdline", "environ"])
            if "services.serving" in (process.info["cmdline"] or ())
            and (process.info["environ"] or {}).get("PARLEY_SERVING_ADDRESS") == self._address
        )

    def engine(self) -> psutil.Process:
        """The engine's process."""
        (engine,) = self.process().children()
        return engine

    def footprint(self) -> tuple[int, int, int]:
        """Resident MiB of the replica and of its engine, and open files of both."""
        both = [self.process(), self.engine()]
        replica, engine = (p.memory_info().rss >> 20 for p in both)
        return replica, engine, sum(p.num_fds() for p in both)

    async def close(self) -> None:
        """Closes the channel."""
        await self._channel.close()


async def _leave_after(target: HttpTarget, events: int, tokens: int = TOKENS_MAX) -> None:
    """Starts a stream, reads some events, and closes the connection without a word."""
    reader, writer = await target.connect()
    writer.write(target.request([300 + n for n in range(16)], tokens))
    while events and (line := await reader.readline()):
        events -= line.startswith(DATA)
    writer.transport.abort()


async def _soak(replica: Replica, target: HttpTarget, seconds: float) -> Soak:
    """Clients leave at random; half as long before it begins, so that nothing is new to anyone."""
    await _come_and_go(target, seconds / 2)
    await replica.idle_s()
    before, restarts = replica.footprint(), (await replica.model()).engine_restarts
    requests = await _come_and_go(target, seconds)
    await replica.idle_s()
    after = replica.footprint()
    restarts = (await replica.model()).engine_restarts - restarts
    return Soak(requests, seconds, *zip(before, after, strict=True), restarts)


async def _come_and_go(target: HttpTarget, seconds: float) -> int:
    """Clients that leave at a random token, 32 at a time; how many there were."""
    chance = random.Random(0)
    until_s = time.perf_counter() + seconds
    requests = 0

    async def one_after_another() -> None:
        nonlocal requests
        while time.perf_counter() < until_s:
            requests += 1
            with contextlib.suppress(OSError):
                await _leave_after(target, chance.randint(0, 30), chance.randint(1, 400))

    await asyncio.gather(*(one_after_another() for _ in range(SOAK_STREAMS)))
    return requests


async def _kill(process: psutil.Process, target: HttpTarget) -> float:
    """Kills a process; seconds until a new request has its whole answer."""
    process.kill()
    began_s = time.perf_counter()
    while (await target.stream([300], 2)).error:
        if time.perf_counter() - began_s > WAIT_S_MAX:
            raise SystemExit("parley: no answer for a minute after a kill")
        await asyncio.sleep(POLL_S)
    return round(time.perf_counter() - began_s, 2)
