"""The small service, in this process and in one of its own."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from parley.serving.v1 import model_serving_pb2_grpc as pb_grpc

from services.rpc.channel import open_channel
from stack.environment.places import ROOT
from tests.contract.rpc import service

WAIT_S = 20.0


@dataclass
class Peer:
    """A channel to the service."""

    channel: grpc.aio.Channel

    @property
    def stub(self) -> pb_grpc.ModelServingStub:
        """The service's methods."""
        return pb_grpc.ModelServingStub(self.channel)

    async def health(self, name: str = service.SERVICE) -> str:
        """What the service says of itself."""
        answer = await health_pb2_grpc.HealthStub(self.channel).Check(
            health_pb2.HealthCheckRequest(service=name), timeout=WAIT_S
        )
        return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)

    async def watch(self) -> AsyncIterator[str]:
        """What the service says of itself from now on."""
        answers = health_pb2_grpc.HealthStub(self.channel).Watch(
            health_pb2.HealthCheckRequest(service=service.SERVICE), timeout=WAIT_S
        )
        async for answer in answers:
            yield health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


@pytest.fixture
async def peer(tmp_path: Path) -> AsyncIterator[Peer]:
    """The service in this process, serving."""
    address = f"unix:{tmp_path}/s.sock"
    server = service.build(address)
    await server.start()
    await server.set_serving(True)
    async with open_channel(address) as channel:
        yield Peer(channel)
    await server.grpc.stop(None)


@dataclass
class Process:
    """The service in a process of its own."""

    popen: subprocess.Popen[str]
    address: str
    log: Path

    async def end(self) -> int:
        """Waits for its end; gives the exit code."""
        return await asyncio.to_thread(self.popen.wait, WAIT_S)


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts the service's process; kills it in the end if the test did not see it end."""
    begun = []

    def start(drain_s: float = 10) -> Process:
        address, log = f"unix:{tmp_path}/p.sock", tmp_path / "log"
        command = [sys.executable, "-m", "tests.contract.rpc.service", address, str(drain_s)]
        with log.open("w") as out:
            popen = subprocess.Popen(
                command, cwd=ROOT, stdout=out, stderr=out, env={"PATH": os.defpath}
            )
        begun.append(popen)
        return Process(popen, address, log)

    yield start
    for popen in begun:
        popen.kill()
        popen.wait()
