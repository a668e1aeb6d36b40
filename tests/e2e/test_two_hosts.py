"""A replica on another host, which a network namespace stands for: it joins by the address that it
advertises, answers, is lost when the line is, and follows the registry.

The stack's listeners are on loopback. What leads to them from there are tunnels like those of
`ssh -R`, which proxies stand for.
"""

import asyncio
import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from parley.mesh.v1 import mesh_pb2 as pb

from bench import stacks
from bench.chaos import proxy
from bench.streams import HttpTarget, Stream
from stack.home import Home
from stack.ports import LOOPBACK
from stack.supervisor import ENDED, Supervisor
from stack.up import Running
from tests.e2e.registry.product import wait_until

from .meshes import is_followed, look_until, ready_in

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None,
    reason="only root makes network namespaces, with iproute2",
)
MODEL = "talkative"
FAR, NEAR = "far-0", "serving-0"
STREAMS, TOKENS = 16, 1000
# Only for documents (RFC 5737), though some machines use them.
NETS = ("198.51.100", "203.0.113", "192.0.2")
CLONE_NEWNET = 0x40000000  # sched.h


@dataclass(frozen=True, slots=True)
class Host:
    """A second host, and the line between it and this one."""

    name: str
    here: str
    there: str

    @property
    def line(self) -> str:
        """This host's end."""
        return f"{self.name}-a"

    def run(self, *command: str, env: dict[str, str]) -> subprocess.Popen[bytes]:
        """Starts a program there."""
        return subprocess.Popen(["ip", "netns", "exec", self.name, *command], env=env)

    def listen(self, port: int) -> socket.socket:
        """Opens a port of its loopback, here."""
        # The namespace is a thread's own, and ends with it; the socket stays there.
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(self._listen, port).result()

    def _listen(self, port: int) -> socket.socket:
        libc = ctypes.CDLL(None, use_errno=True)
        with Path("/run/netns", self.name).open() as there:
            if libc.setns(there.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        return socket.create_server((LOOPBACK, port))


def _ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True, timeout=10)


def _free_net() -> str:
    """The beginning of addresses that this machine has none of."""
    own = {one.address for many in psutil.net_if_addrs().values() for one in many}
    return next(net for net in NETS if not any(one.startswith(f"{net}.") for one in own))


@pytest.fixture
def host() -> Iterator[Host]:
    """A network namespace with a line to it."""
    net = _free_net()
    made = Host(f"parley-{os.getpid()}"[:13], f"{net}.1", f"{net}.2")
    _ip(f"netns add {made.name}")
    try:
        _ip(f"link add {made.line} type veth peer name line netns {made.name}")
        _ip(f"addr add {made.here}/30 dev {made.line}")
        _ip(f"link set {made.line} up")
        _ip(f"-n {made.name} addr add {made.there}/30 dev line")
        _ip(f"-n {made.name} link set line up")
        _ip(f"-n {made.name} link set lo up")
        yield made
    finally:
        _ip(f"netns delete {made.name}")


@pytest.fixture
def near(tmp_path: Path, talkative: Path) -> Iterator[Running]:
    """A stack with a replica of its own, on this host."""
    with stacks.serving(Home(tmp_path), talkative) as running:
        yield running


@contextlib.contextmanager
def _far(stack: Running, host: Host, **source: str) -> Iterator[proxy.ProxyThread]:
    """A replica on the other host, told where the mesh is, where it is reached, and what to serve;
    and the tunnels from there, by name."""
    ports = stack.plan.ports
    told = {
        "NAME": FAR,
        "ADDRESS": f"{host.there}:9000",
        "ADVERTISE": f"{host.there}:9000",
        "MESH_ADDRESS": stack.mesh_address,
        "MESH_KEY_FILE": str(stack.plan.home.mesh_key),
        "DRAIN_S": "5",
        **source,
    }
    env = {**os.environ, **{f"PARLEY_SERVING_{name}": value for name, value in told.items()}}
    through = {"mesh": ports.mesh, "s3": ports.s3}
    tunnels = [
        (name, host.listen(port), f"{LOOPBACK}:{port}") for name, port in through.items() if port
    ]
    with proxy.opened(tunnels) as opened:
        program = host.run(sys.executable, "-m", "services.serving", env=env)
        try:
            yield opened
        finally:
            program.terminate()
            program.wait(30)


def _takes(names: list[str]) -> Callable[[pb.GetMeshResponse], bool]:
    return lambda mesh: ready_in(mesh) == names and is_followed(mesh)


def _shares(mesh: pb.GetMeshResponse, *more: str) -> dict[tuple[str, str], list[str]]:
    """The replicas of each version, with some more."""
    return {
        (model.model, one.version): sorted([*more, *one.replicas])
        for model in mesh.models
        for one in model.versions
    }


def _answers_at(name: str) -> Callable[[pb.GetMeshResponse], bool]:
    return lambda mesh: any(
        version.running
        for replica in mesh.replicas
        if replica.report.name == name
        for version in replica.report.versions
    )


async def _streams(near: Running, ended: threading.Event) -> list[Stream]:
    """Of clients that each ask one after the other, at least once, until it has ended."""
    target = HttpTarget(LOOPBACK, near.plan.ports.edge, near.api_key, MODEL)

    async def ask(number: int) -> list[Stream]:
        found = [await target.stream([300 + number, 301], TOKENS)]
        while not ended.is_set():
            found.append(await target.stream([300 + number, 301], TOKENS))
        return found

    asked = await asyncio.gather(*(ask(number) for number in range(STREAMS)))
    return [stream for found in asked for stream in found]


def test_a_replica_of_another_host_takes_its_share_and_is_not_missed(
    near: Running, host: Host, talkative: Path
):
    """By its advertised address it alone answers; when the line is cut under streams of both, those
    go on here; when it is whole again, so is the mesh."""
    supervisor = Supervisor(near.plan.home)
    with _far(near, host, MODEL_DIR=str(talkative)) as tunnels:
        mesh = look_until(near, _takes([FAR, NEAR]))
        addresses = {one.report.name: one.report.address for one in mesh.replicas}
        assert addresses[FAR] == f"{host.there}:9000"

        supervisor.stop(NEAR)
        look_until(near, _takes([FAR]))
        ended = threading.Event()
        ended.set()
        alone = asyncio.run(_streams(near, ended))
        assert [one.error for one in alone if one.error] == []
        (tokens,) = {one.tokens for one in alone}

        # One that still stops is not started.
        wait_until(lambda: supervisor.processes()[NEAR].state in ENDED, "the near one has ended")
        supervisor.start(NEAR)
        look_until(near, _takes([FAR, NEAR]))
        with ThreadPoolExecutor(1) as pool:
            ended.clear()
            asked = pool.submit(asyncio.run, _streams(near, ended))
            try:
                look_until(near, _answers_at(FAR))
                _ip(f"link set {host.line} down")
                tunnels.tell("mesh", "black_hole")
            finally:
                ended.set()
            cut = asked.result()
        assert [one.error for one in cut if one.error] == []
        assert 0 < sum(one.migrations for one in cut) <= STREAMS
        assert {one.tokens for one in cut} == {tokens}
        look_until(near, _takes([NEAR]))

        _ip(f"link set {host.line} up")
        tunnels.tell("mesh", "heal")
        look_until(near, _takes([FAR, NEAR]))
    look_until(near, _takes([NEAR]))


def test_a_replica_of_another_host_follows_the_registry(
    product: Running, host: Host, tmp_path: Path
):
    """Told no model, it fetches every champion's files through the tunnels, and takes its share."""
    before = look_until(product, is_followed)
    assert before.models
    source = {"REGISTRY_ADDRESS": product.mesh_address, "CACHE_DIR": str(tmp_path)}
    with _far(product, host, **source):
        look_until(
            product, lambda mesh: is_followed(mesh) and _shares(mesh) == _shares(before, FAR)
        )
    look_until(product, lambda mesh: is_followed(mesh) and _shares(mesh) == _shares(before))
