"""The mesh as the command line sees it: asked at its own socket, for Envoy may be what is wrong."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from parley.mesh.v1 import mesh_pb2 as pb
from parley.mesh.v1 import mesh_pb2_grpc as pb_grpc

from stack.errors import StackError
from stack.home import Home
from stack.mesh import Client, Unanswered
from stack.plan import MESH
from stack.progress import Narrator

FOLLOW_S = 10.0
POLL_S = 0.05
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


def follow(home: Home, revision: int, narrator: Narrator) -> None:
    """Waits until proxies send requests as the registry's state of that revision says.

    Raises StackError after ten seconds.
    """
    until_s = time.monotonic() + FOLLOW_S
    with connect(home) as mesh:
        while waiting := _missing(mesh, revision):
            if time.monotonic() > until_s:
                raise StackError(
                    f"The version is loaded, but requests may still go elsewhere: {waiting}.",
                    mend="See: ./parley mesh",
                )
            narrator.doing(MESH, waiting)
            time.sleep(POLL_S)


def _missing(mesh: Mesh, revision: int) -> str:
    """What the proxies still lack, empty for nothing."""
    try:
        found = mesh.look()
    except Unanswered as error:
        return error.what
    if found.revision < revision:
        return f"the mesh is at revision {found.revision} of {revision}"
    return "" if has_all(found) else "a proxy has not taken the last change"


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
