"""Runs the real Envoy on configurations that Parley builds, with fakes behind it."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.mesh.bootstrap import build_bootstrap
from services.mesh.command import envoy_arguments
from services.mesh.topology import Limits, Replica, Topology
from stack import ports, readiness

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
API_KEY, MESH_KEY, PAGE_KEY = "sk-parley-canary-1", "mesh-canary-2", "page-canary-3"
# Below those that the kernel gives away.
FIRST_PORT = 24000
_given = set()
SERVICE = "parley.serving.v1.ModelServing"


@dataclass
class RunningEnvoy:
    """One Envoy process, its plan and its folder."""

    topology: Topology
    folder: Path
    process: subprocess.Popen

    @property
    def edge(self):
        return f"http://127.0.0.1:{self.topology.edge_port}"

    @property
    def mesh(self):
        return f"127.0.0.1:{self.topology.mesh_port}"

    @property
    def stats(self):
        return f"http://127.0.0.1:{self.topology.stats_port}"

    def log(self):
        return (self.folder / "envoy.out").read_text()

    def log_lines(self):
        # The last one may be half written.
        return [json.loads(line) for line in self.log().split("\n")[:-1]]


def eventually(check, within_s=10.0):
    """Waits until `check` gives something true, and gives that; fails when time is up."""
    end = time.monotonic() + within_s
    while not (found := check()):
        assert time.monotonic() < end, f"not within {within_s} s"
        time.sleep(0.02)
    return found


def free_ports(count):
    """Free ports that nobody else is given: neither the kernel's callers nor other tests."""
    found = []
    for _ in range(count):
        found.append(ports.next_free(FIRST_PORT, _given))
        _given.add(found[-1])
    return found


@contextmanager
def process(arguments, folder, name):
    """Runs a program with its output in files; kills it at the end."""
    with (folder / f"{name}.out").open("wb") as out, (folder / f"{name}.err").open("wb") as err:
        program = subprocess.Popen(
            arguments, stdout=out, stderr=err, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        try:
            yield program
        finally:
            program.kill()
            program.wait(10)


@contextmanager
def running_facade(folder):
    """The fake facade on `gateway.sock`."""
    path = folder / "gateway.sock"
    with process([sys.executable, HERE / "fake_facade.py", path], folder, "facade") as program:
        eventually(lambda: readiness.listens(str(path)))
        yield program


def is_serving(address):
    """Whether a gRPC server says by itself that it serves."""
    with grpc.insecure_channel(address) as channel:
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=1)
        except grpc.RpcError:
            return False
    return answer.status == health_pb2.HealthCheckResponse.SERVING


@contextmanager
def running_replica(folder, name):
    """A fake replica on `NAME.sock`, serving."""
    address = f"unix:{folder / name}.sock"
    with process([sys.executable, HERE / "fake_replica.py", address, name], folder, name) as one:
        eventually(lambda: is_serving(address), 30)
        yield one


def plan(folder, *, replicas=1, **limits):
    """A topology whose sockets are in `folder`."""
    edge, mesh, stats = free_ports(3)
    names = [f"serving-{index}" for index in range(replicas)]
    return Topology(
        edge_port=edge,
        mesh_port=mesh,
        stats_port=stats,
        admin_address=f"unix:{folder / 'admin.sock'}",
        gateway_address=f"unix:{folder / 'gateway.sock'}",
        replicas=tuple(Replica(name, f"unix:{folder / name}.sock") for name in names),
        edge_clients={"user": API_KEY},
        mesh_clients={"user": API_KEY, "gateway": MESH_KEY},
        page_key=PAGE_KEY,
        limits=Limits(**limits),
    )


@contextmanager
def running_envoy(folder, topology):
    """Envoy on a topology, ready."""
    config = folder / "envoy.json"
    config.write_text(build_bootstrap(topology))
    with process(envoy_arguments(config), folder, "envoy") as program:
        envoy = RunningEnvoy(topology, folder, program)
        eventually(lambda: is_ready(envoy))
        yield envoy


def is_ready(envoy):
    """Whether Envoy's listeners are open."""
    assert envoy.process.poll() is None, (envoy.folder / "envoy.err").read_text()[:2000]
    try:
        return httpx.get(f"{envoy.stats}/ready").status_code == 200
    except httpx.TransportError:
        return False
