"""Tells proxies of the mesh, by Envoy's aggregated discovery service (state of the world)."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

import grpc
import structlog
from envoy_data_plane.envoy.service.discovery.v3 import DiscoveryRequest, DiscoveryResponse

from services.mesh.discovery import TYPES
from services.mesh.follower import Follower, ResourceStatus
from services.mesh.metrics import PROXIES, TAKEN
from services.mesh.rollout import Held
from services.mesh.snapshot import Snapshot

__all__ = ["Control", "ProxyStatus", "ResourceStatus"]

log = structlog.get_logger()

SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
METHOD = "StreamAggregatedResources"
PROXIES_MAX = 64
# How many of the last snapshots are remembered, to know what a proxy holds that comes back.
SNAPSHOTS_MAX = 8


@dataclass(frozen=True, slots=True)
class ProxyStatus:
    """A proxy by its node id, and how far it is with each kind."""

    name: str
    connected: bool
    resources: tuple[ResourceStatus, ...]


class Control:
    """Tells each proxy that asks of the snapshot that was published last.

    Belongs to one event loop. `keep` is given, in a thread of its own, each snapshot that a proxy
    took whole, or that was published while there was no proxy to try it; only the newest is kept if
    there are several. `before` is what proxies may have from a process before this one.
    """

    def __init__(
        self, keep: Callable[[Snapshot], None] | None = None, before: Snapshot | None = None
    ) -> None:
        self._keep = keep
        self._target: Snapshot | None = None
        self._published_s = 0.0
        self._known: OrderedDict[str, Snapshot] = OrderedDict()
        if before is not None:
            self._known[before.version] = before
        self._followers: set[Follower] = set()
        self._statuses: OrderedDict[str, dict[str, ResourceStatus]] = OrderedDict()
        self._connected: dict[str, int] = {}
        self._to_keep: Snapshot | None = None
        self._kept = ""
        self._keeping: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def publish(self, snapshot: Snapshot, urgent: bool) -> None:
        """Has all proxies follow a snapshot. One that is urgent does not wait until they have
        taken the one before."""
        self._target, self._published_s = snapshot, time.monotonic()
        self._known[snapshot.version] = snapshot
        self._known.move_to_end(snapshot.version)
        while len(self._known) > SNAPSHOTS_MAX:
            self._known.popitem(last=False)
        for follower in self._followers:
            follower.wake(urgent)
        if not self._followers:
            self._keep_soon(snapshot)

    def proxies(self) -> list[ProxyStatus]:
        """Every proxy that is connected or was, sorted by name."""
        return [
            ProxyStatus(
                name,
                self._connected.get(name, 0) > 0,
                tuple(replace(statuses[kind]) for kind in sorted(statuses)),
            )
            for name, statuses in sorted(self._statuses.items())
        ]

    def handler(self) -> grpc.GenericRpcHandler:
        """What a gRPC server needs to let proxies ask."""
        stream = grpc.stream_stream_rpc_method_handler(
            self._stream, request_deserializer=DiscoveryRequest.parse, response_serializer=bytes
        )
        return grpc.method_handlers_generic_handler(SERVICE, {METHOD: stream})

    def close(self) -> None:
        """Ends all streams; proxies go on with what they have."""
        self._closing.set()

    async def _stream(
        self,
        requests: AsyncIterator[DiscoveryRequest],
        context: grpc.aio.ServicerContext[DiscoveryRequest, DiscoveryResponse],
    ) -> None:
        """Serves one proxy until it leaves, reads nothing more, or this process ends."""
        first = await anext(aiter(requests), None)
        if first is None or self._closing.is_set():
            await context.abort(grpc.StatusCode.UNAVAILABLE, "The mesh is ending; ask again.")
            return
        name = first.node.id if first.node else ""
        follower = Follower(
            context.write,
            find_target=lambda: self._target,
            find_held=self._find_held,
            statuses=self._statuses_of(name),
            on_taken=self._on_taken,
        )
        follower.hear(first)
        self._connect(name, follower, 1)
        work = [
            asyncio.create_task(one)
            for one in (follower.send_all(), _hear_all(follower, requests), self._closing.wait())
        ]
        try:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if (error := task.exception()) is not None:
                    log.warning("proxy lost", proxy=name, error=repr(error))
        finally:
            for task in work:
                task.cancel()
            self._connect(name, follower, -1)

    def _connect(self, name: str, follower: Follower, count: int) -> None:
        if count > 0:
            self._followers.add(follower)
        else:
            self._followers.discard(follower)
        self._connected[name] = self._connected.get(name, 0) + count
        if not self._connected[name]:
            del self._connected[name]
        PROXIES.set(len(self._followers))
        log.info("proxy connected" if count > 0 else "proxy gone", proxy=name)

    def _statuses_of(self, name: str) -> dict[str, ResourceStatus]:
        """A proxy's statuses, which are forgotten only when too many others come after it."""
        found = self._statuses.setdefault(name, {kind: ResourceStatus(kind) for kind in TYPES})
        self._statuses.move_to_end(name)
        gone = [one for one in self._statuses if one not in self._connected and one != name]
        for one in gone[: max(0, len(self._statuses) - PROXIES_MAX)]:
            del self._statuses[one]
        return found

    def _find_held(self, kind: str, version: str) -> Held:
        for snapshot in self._known.values():
            if version and snapshot.versions[kind] == version:
                return Held(version, snapshot.resources[kind])
        return Held()

    def _on_taken(self, snapshot: Snapshot, began_s: float) -> None:
        taken_s = time.monotonic() - max(self._published_s, began_s)
        TAKEN.observe(taken_s)
        log.info("taken", snapshot=snapshot.version, taken_ms=round(taken_s * 1e3, 1))
        self._keep_soon(snapshot)

    def _keep_soon(self, snapshot: Snapshot) -> None:
        self._to_keep = snapshot
        if self._keep is not None and (self._keeping is None or self._keeping.done()):
            self._keeping = asyncio.get_running_loop().create_task(self._keep_newest(self._keep))

    async def _keep_newest(self, keep: Callable[[Snapshot], None]) -> None:
        while self._to_keep is not None and self._to_keep.version != self._kept:
            snapshot = self._to_keep
            try:
                await asyncio.to_thread(keep, snapshot)
            except OSError as error:
                log.error("snapshot not kept", snapshot=snapshot.version, error=str(error))
                return
            self._kept = snapshot.version


async def _hear_all(follower: Follower, requests: AsyncIterator[DiscoveryRequest]) -> None:
    async for request in requests:
        follower.hear(request)
