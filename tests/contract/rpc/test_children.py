"""What a service starts beside itself: engines and exports."""

import asyncio
import subprocess
import sys
from pathlib import Path

import uvloop
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.rpc.channel import open_channel
from services.rpc.server import Server
from services.rpc.settings import ServerSettings
from stack.environment.places import ROOT

CHILDREN = 100
CALLERS = 8


def test_a_child_begun_while_calls_are_under_way_lives(tmp_path: Path):
    """On the event loop that services have, each of a hundred children ends as it should."""
    command = [sys.executable, "-m", __name__, tmp_path / "s.sock"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert run.stdout.splitlines()[-1:] == ["[0]"], run.stderr


async def _call_on(address: str) -> None:
    request = health_pb2.HealthCheckRequest()
    async with open_channel(address) as channel:
        while True:
            await health_pb2_grpc.HealthStub(channel).Check(request, timeout=30)


async def _main(address: str) -> None:
    server = Server(ServerSettings(address=address), [])
    await server.start()
    callers = [asyncio.create_task(_call_on(address)) for _ in range(CALLERS)]
    codes = set()
    for _ in range(CHILDREN):
        child = await asyncio.create_subprocess_exec("/bin/true", start_new_session=True)
        codes.add(await child.wait())
    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)
    await server.grpc.stop(None)
    print(sorted(codes))


if __name__ == "__main__":
    uvloop.run(_main(f"unix:{sys.argv[1]}"))
