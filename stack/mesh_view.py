"""The mesh as the command line sees it: asked at its own socket, for Envoy may be what is wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from parley.mesh.v1 import mesh_pb2 as pb
from parley.mesh.v1 import mesh_pb2_grpc as pb_grpc

from stack.home import Home
from stack.mesh import Client
from stack.plan import MESH

FILES_WORDS = "no proxy follows it; one that began without it follows its files"


class Mesh(Client):
    """A connection to the mesh's process."""

    name: ClassVar = "mesh"

    def look(self) -> pb.GetMeshResponse:
        """The whole mesh. Raises StackError, Unanswered where its process is away."""
        return self.call("GetMesh", pb.GetMeshRequest())


@contextmanager
def connect(home: Home) -> Iterator[Mesh]:
    """The mesh of the stack in `home`."""
    with Mesh(f"unix:{home.socket(MESH)}", "", pb_grpc.MeshStub) as mesh:
        yield mesh


def problem(mesh: pb.GetMeshResponse) -> str:
    """What is wrong with a mesh that should have been the same for a while; empty for nothing."""
    refused = [
        f"{proxy.name} refused its {one.kind}: {one.refusal}"
        for proxy in mesh.proxies
        for one in proxy.resources
        if one.refused
    ]
    gone = [f"{one.report.name} has left: {one.left}" for one in mesh.replicas if one.left]
    return "; ".join([*([mesh.detail] if mesh.detail else []), *refused, *gone])


def summary(mesh: pb.GetMeshResponse) -> str:
    """The mesh in one line."""
    present = [one for one in mesh.replicas if not one.left]
    serving = sum(one.report.state == pb.REPLICA_STATE_SERVING for one in present)
    connected = [proxy for proxy in mesh.proxies if proxy.connected]
    follows = f"{len(connected)} follow it" if connected else FILES_WORDS
    words = f"{serving} of {len(present)} replicas serve; proxies: {follows}"
    return words if has_all(mesh) or not connected else f"{words}, not yet its last change"


def has_all(mesh: pb.GetMeshResponse) -> bool:
    """Whether each proxy that is connected has taken all that was sent to it."""
    # A proxy that had it from a process before this one was sent nothing.
    return all(
        one.sent in ("", one.acknowledged)
        for proxy in mesh.proxies
        if proxy.connected
        for one in proxy.resources
    )
