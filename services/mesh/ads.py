"""Tells proxies of the mesh, by Envoy's aggregated discovery service (state of the world)."""

from collections.abc import Callable
from dataclasses import dataclass

import grpc

from services.mesh.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class ResourceStatus:
    """How far a proxy is with one kind: the versions that were sent, taken and refused last.

    `acknowledge_time_s` is in seconds since 1970. `refused` and `refusal`, in the proxy's words,
    are empty once it has taken a newer one.
    """

    kind: str
    sent: str = ""
    acknowledged: str = ""
    acknowledge_time_s: float = 0.0
    refused: str = ""
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class ProxyStatus:
    """A proxy by its node id."""

    name: str
    connected: bool
    resources: tuple[ResourceStatus, ...]


class Control:
    """Tells each proxy that asks of the snapshot that was published last.

    `keep` is given each snapshot that a proxy took whole, or that was published while there was
    none to try it.
    """

    def __init__(self, keep: Callable[[Snapshot], None] | None = None) -> None:
        self._keep = keep

    def publish(self, snapshot: Snapshot, urgent: bool) -> None:
        """Has all proxies follow a snapshot. One that is urgent does not wait until they have
        taken the one before."""
        raise NotImplementedError

    def proxies(self) -> list[ProxyStatus]:
        """Every proxy that is connected or was, sorted by name."""
        raise NotImplementedError

    def handler(self) -> grpc.GenericRpcHandler:
        """What a gRPC server needs to let proxies ask."""
        raise NotImplementedError

    def close(self) -> None:
        """Ends all streams; proxies go on with what they have."""
        raise NotImplementedError
