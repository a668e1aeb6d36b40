"""The mesh's process, replicas that join it, and an Envoy that follows it or its files."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import grpc
from parley.mesh.v1 import mesh_pb2 as pb
from parley.mesh.v1 import mesh_pb2_grpc as pb_grpc
from parley.serving.v1 import model_serving_pb2 as serving_pb
from parley.serving.v1 import model_serving_pb2_grpc as serving_grpc

from services.mesh.bootstrap import build_bootstrap
from services.mesh.topology import Topology

from .programs import API_KEY, MESH_KEY, ROOT, RunningEnvoy, eventually, free_ports, is_ready, plan

WAIT_S = 60.0
CALL_S = 5.0
POLL_S = 0.002
REPLICA = "tests.integration.mesh.joining_replica"
KEY = (("authorization", f"Bearer {API_KEY}"),)


@dataclass
class Joined:
    """One folder with all of it; programs are started and ended by name."""

    folder: Path
    topology: Topology
    programs: dict[str, subprocess.Popen] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """The mesh's."""
        return f"unix:{self.folder / 'mesh.sock'}"

    @property
    def files(self) -> Path:
        """What it told proxies last."""
        return self.folder / "told"

    @property
    def envoy(self) -> RunningEnvoy:
        """The Envoy that runs."""
        return RunningEnvoy(self.topology, self.folder, self.programs["envoy"])

    def start_mesh(self) -> None:
        """The mesh's process; it is not waited for."""
        self._start("mesh", "services.mesh", PARLEY_MESH_ADDRESS=self.address,
                    PARLEY_MESH_SNAPSHOT_DIR=str(self.files))  # fmt: skip

    def start_replica(self, name: str) -> None:
        """A replica that joins."""
        address = f"unix:{self.folder / name}.sock"
        self._start(name, REPLICA, address, name, self.address)

    def start_far_replica(self, name: str) -> None:
        """A replica that joins as one of another host would: through Envoy, with the mesh's key."""
        address = f"127.0.0.1:{free_ports(1)[0]}"
        self._start(name, REPLICA, address, name, self.envoy.mesh, MESH_KEY)

    def start_envoy(self) -> None:
        """Envoy, as the launcher would have it; waits until its listeners are open."""
        options = {
            "--mesh": self.address,
            "--config": str(self.folder / "envoy.json"),
            "--files-config": str(self.folder / "envoy-files.json"),
            "--files": str(self.files),
        }
        words = [word for pair in options.items() for word in pair]
        self._start("envoy", "services.mesh.launcher", *words)
        eventually(lambda: is_ready(self.envoy), WAIT_S)

    def kill(self, name: str) -> None:
        """Ends a program at once."""
        self.programs[name].kill()
        self.programs[name].wait(WAIT_S)

    def look(self) -> pb.GetMeshResponse:
        """The mesh; an empty one while its process is away."""
        with grpc.insecure_channel(self.address) as channel:
            try:
                return pb_grpc.MeshStub(channel).GetMesh(pb.GetMeshRequest(), timeout=CALL_S)
            except grpc.RpcError:
                return pb.GetMeshResponse()

    def until(self, holds: Callable[[pb.GetMeshResponse], bool]) -> pb.GetMeshResponse:
        """The mesh once a condition holds; fails past the bound."""
        until_s = time.monotonic() + WAIT_S
        with grpc.insecure_channel(self.address, [("grpc.max_reconnect_backoff_ms", 100)]) as one:
            stub = pb_grpc.MeshStub(one)
            while True:
                try:
                    found = stub.GetMesh(pb.GetMeshRequest(), timeout=CALL_S)
                except grpc.RpcError:
                    found = pb.GetMeshResponse()
                if holds(found):
                    return found
                assert time.monotonic() < until_s, found
                time.sleep(POLL_S)

    def who_answers(self, count: int = 20) -> set[str]:
        """The replicas that answer so many calls through Envoy; one that fails fails the test."""
        return {self.ask() for _ in range(count)}

    def ask(self) -> str:
        """Which replica answers one call through Envoy. Raises grpc.RpcError."""
        with grpc.insecure_channel(self.envoy.mesh) as channel:
            stub = serving_grpc.ModelServingStub(channel)
            asked = serving_pb.ListLoadedModelsRequest()
            return stub.ListLoadedModels(asked, timeout=CALL_S, metadata=KEY).models[0].model

    def _start(self, name: str, module: str, *words: str, **told: str) -> None:
        if name in self.programs and self.programs[name].poll() is None:
            return
        out, err = (self.folder / f"{name}.{kind}" for kind in ("out", "err"))
        with out.open("ab") as said, err.open("ab") as complained:
            self.programs[name] = subprocess.Popen(
                [sys.executable, "-m", module, *words],
                stdout=said,
                stderr=complained,
                env={**os.environ, **told, "PYTHONPATH": str(ROOT)},
            )


def taken_s(mesh: pb.GetMeshResponse) -> float:
    """When a proxy took the last part of what it was sent, in seconds since 1970."""
    times = [one.acknowledge_time for proxy in mesh.proxies for one in proxy.resources]
    return max((stamp.ToNanoseconds() for stamp in times), default=0) / 1e9


def is_followed(mesh: pb.GetMeshResponse) -> bool:
    """Whether a proxy is connected, and has taken all that it was sent."""
    followers = [proxy for proxy in mesh.proxies if proxy.connected]
    # One that had it from a process before this one was sent nothing.
    return bool(followers) and all(
        one.sent in ("", one.acknowledged) for proxy in followers for one in proxy.resources
    )


def routed(mesh: pb.GetMeshResponse) -> list[str]:
    """The replicas that versions are routed to, when the proxies know it."""
    if not is_followed(mesh):
        return []
    return [name for model in mesh.models for one in model.versions for name in one.replicas]


@contextmanager
def joined(folder: Path) -> Iterator[Joined]:
    """A folder to run it in, with Envoy's two bootstraps."""
    made = Joined(folder, replace(
        plan(folder), replicas=(), control_address=f"unix:{folder / 'mesh.sock'}"
    ))  # fmt: skip
    made.files.mkdir()
    (folder / "envoy.json").write_text(build_bootstrap(made.topology))
    by_files = replace(made.topology, snapshot_dir=str(made.files))
    (folder / "envoy-files.json").write_text(build_bootstrap(by_files))
    with ExitStack() as stack:
        stack.callback(lambda: [made.kill(name) for name in made.programs])
        yield made
