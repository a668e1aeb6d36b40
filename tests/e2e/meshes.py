"""What a stack's mesh says of itself, and waiting for it."""

import time
from collections.abc import Callable

from parley.mesh.v1 import mesh_pb2 as pb

from stack import mesh_view
from stack.errors import StackError
from stack.up import Running

WAIT_S = 60.0
POLL_S = 0.005


def look_until(running: Running, holds: Callable[[pb.GetMeshResponse], bool]) -> pb.GetMeshResponse:
    """The mesh once a condition holds; fails past the bound."""
    until_s = time.monotonic() + WAIT_S
    with mesh_view.connect(running.plan.home) as mesh:
        while True:
            try:
                found = mesh.look()
            except StackError:
                found = pb.GetMeshResponse()
            if holds(found):
                return found
            assert time.monotonic() < until_s, found
            time.sleep(POLL_S)


def serving_in(mesh: pb.GetMeshResponse) -> list[str]:
    """Names of the replicas that take requests."""
    state = pb.REPLICA_STATE_SERVING
    return [r.report.name for r in mesh.replicas if not r.left and r.report.state == state]


def is_followed(mesh: pb.GetMeshResponse) -> bool:
    """Whether Envoy is connected, and has taken all that it was sent."""
    return any(proxy.connected for proxy in mesh.proxies) and mesh_view.has_all(mesh)


def ready_in(mesh: pb.GetMeshResponse) -> list[str]:
    """The replicas that the model's only version is routed to."""
    return [name for model in mesh.models for one in model.versions for name in one.replicas]
