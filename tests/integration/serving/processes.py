"""A replica as its supervisor starts it: a process of its own, asked over its socket."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc
from parley.serving.v1 import model_serving_pb2 as pb
from parley.serving.v1 import model_serving_pb2_grpc as pb_grpc

from services.rpc.channel import CLIENT_OPTIONS
from services.serving.servicer import SERVICE
from stack.environment.places import ROOT

WAIT_S = 60.0
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@dataclass
class Running:
    """A replica's process and a client of it."""

    process: psutil.Popen
    log: Path
    channel: grpc.aio.Channel

    @property
    def stub(self) -> pb_grpc.ModelServingStub:
        """A client."""
        return pb_grpc.ModelServingStub(self.channel)

    def generate(self, tokens_max: int, **fields: object) -> grpc.aio.UnaryStreamCall:
        """Asks for exactly so many tokens."""
        request = pb.GenerateRequest(
            tokens=pb.TokenIds(ids=[301, 302, 303]),
            stopping=pb.Stopping(tokens_max=tokens_max, ignore_end=True),
            **fields,
        )
        return self.stub.Generate(request, timeout=WAIT_S)

    async def model(self) -> pb.LoadedModel:
        """What the replica says of its only model."""
        (model,) = (await self.models()).values()
        return model

    async def models(self) -> dict[str, pb.LoadedModel]:
        """What the replica says of its versions."""
        listed = await self.stub.ListLoadedModels(pb.ListLoadedModelsRequest(), timeout=WAIT_S)
        return {model.version: model for model in listed.models}

    async def health(self) -> int:
        """What the replica says of itself."""
        asked = health_pb2.HealthCheckRequest(service=SERVICE)
        answer = await health_pb2_grpc.HealthStub(self.channel).Check(asked, timeout=WAIT_S)
        return answer.status

    @property
    def worker(self) -> psutil.Process:
        """The engine's process."""
        (worker,) = self.process.children()
        return worker


@asynccontextmanager
async def replica(model: Path | None, folder: Path, **settings: object) -> AsyncIterator[Running]:
    """Runs a replica of a model, or of what `settings` say; they go to it by their names. It need
    not be ready."""
    socket, log = folder / "s.sock", folder / "serving.log"
    told = {"address": f"unix:{socket}", **settings}
    if model is not None:
        told |= {"model_dir": model, "model_name": "tiny"}
    with log.open("wb") as out:
        process = psutil.Popen(
            [sys.executable, "-m", "services.serving"],
            env={f"PARLEY_SERVING_{name.upper()}": str(value) for name, value in told.items()},
            cwd=ROOT,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        async with grpc.aio.insecure_channel(f"unix:{socket}", options=CLIENT_OPTIONS) as channel:
            running = Running(process, log, channel)
            await channel.channel_ready()
            yield running
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            process.wait(WAIT_S)


@asynccontextmanager
async def ready_replica(
    model: Path | None, folder: Path, **settings: object
) -> AsyncIterator[Running]:
    """Runs a replica and waits until it serves."""
    async with replica(model, folder, health_interval_s=0, drain_s=5, **settings) as running:
        await until(running.health, SERVING)
        yield running


async def until(
    ask: Callable[[], object], wanted: object, *, wait_s: float = WAIT_S, every_s: float = 0.01
) -> float:
    """Asks until the answer is what is wanted, or fails; returns the seconds it took."""
    started_s = time.monotonic()
    async with asyncio.timeout(wait_s):
        while await ask() != wanted:  # noqa: ASYNC110 (another process's state)
            await asyncio.sleep(every_s)
    return time.monotonic() - started_s


async def collect(call: grpc.aio.UnaryStreamCall) -> tuple[list[int], grpc.aio.AioRpcError | None]:
    """The token ids of an answer, and how it failed if it did."""
    ids: list[int] = []
    try:
        async for event in call:
            ids += event.delta.token_ids
    except grpc.aio.AioRpcError as error:
        return ids, error
    return ids, None
