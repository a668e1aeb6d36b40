"""One proxy that follows the mesh over one stream: what it asked for, has taken and has refused.

The rules are those of Envoy's xDS protocol, state of the world: an answer belongs to the message
whose nonce it bears; one with an error is a refusal, and the proxy goes on with what it had.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import structlog
from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration
from envoy_data_plane.envoy.service.discovery.v3 import DiscoveryRequest, DiscoveryResponse

from services.mesh.discovery import CLUSTERS, ENDPOINTS, TYPES
from services.mesh.metrics import REFUSALS
from services.mesh.rollout import Held, Step, plan_rollout
from services.mesh.routes import STATIC_CLUSTERS
from services.mesh.snapshot import Snapshot, routed_clusters
from services.mesh.typed import pack

log = structlog.get_logger()

KINDS = {url: kind for kind, url in TYPES.items()}
TAKEN_WITHIN_S = 2.0
WRITTEN_WITHIN_S = 5.0
REFUSAL_CHARS_MAX = 500


@dataclass(slots=True)
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


@dataclass(slots=True)
class _Subscription:
    """What a proxy asked for of one kind; no names are all there are."""

    names: frozenset[str] = frozenset()
    nonce: str = ""
    sent: Held = field(default_factory=Held)
    taken: Held = field(default_factory=Held)


class Follower:
    """One stream. Not safe to share between event loops.

    Args:
        write: sends one message.
        find_target: the snapshot to follow; None while there is none.
        find_held: what a version of a kind held, if that is known.
        statuses: how far the proxy is, by kind; outlives the stream.
        on_taken: called when the proxy has taken a whole snapshot, with that and with when the
            stream began.
    """

    def __init__(
        self,
        write: Callable[[DiscoveryResponse], Awaitable[None]],
        *,
        find_target: Callable[[], Snapshot | None],
        find_held: Callable[[str, str], Held],
        statuses: dict[str, ResourceStatus],
        on_taken: Callable[[Snapshot, float], None],
    ) -> None:
        self._write = write
        self._find_target = find_target
        self._find_held = find_held
        self._statuses = statuses
        self._on_taken = on_taken
        self._subscriptions: dict[str, _Subscription] = {}
        self._asked: set[str] = set()
        self._work = asyncio.Event()
        self._news = asyncio.Event()
        self._hurry = False
        self._sent_count = 0
        self._whole = ""
        self._began_s = time.monotonic()

    def wake(self, urgent: bool) -> None:
        """Says that there is another snapshot; an urgent one ends the waits for the one before."""
        self._hurry = self._hurry or urgent
        self._work.set()
        self._news.set()

    async def send_all(self) -> None:
        """Tells the proxy of each change until it is cancelled. Raises TimeoutError for a proxy
        that reads nothing."""
        while True:
            await self._work.wait()
            self._work.clear()
            self._hurry = False
            if (target := self._find_target()) is not None:
                await self._roll_out(target)

    def hear(self, request: DiscoveryRequest) -> None:
        """Takes what the proxy says."""
        kind = KINDS.get(request.type_url)
        if kind is None:
            return
        known = self._subscriptions.get(kind)
        if known is None:
            self._subscribe(kind, request)
        elif request.response_nonce != known.nonce:
            return  # of an older message: what it says is said again of the newer one
        elif request.error_detail is not None:
            self._refuse(kind, known, request.error_detail.message)
        else:
            self._take(kind, known, frozenset(request.resource_names))
        self._news.set()

    def _subscribe(self, kind: str, request: DiscoveryRequest) -> None:
        held = self._find_held(kind, request.version_info)
        names = frozenset(request.resource_names)
        self._subscriptions[kind] = _Subscription(names, "", held, held)
        status = self._statuses[kind]
        if not request.version_info:
            # A proxy that begins anew may take what the one before it refused.
            self._statuses[kind] = status = ResourceStatus(kind)
        if held.version and status.acknowledged != held.version:
            status.acknowledged, status.acknowledge_time_s = held.version, time.time()
        if kind == ENDPOINTS:
            # It may wait for endpoints of a cluster that it took just before the stream broke.
            self._asked.add(kind)
        self._work.set()

    def _refuse(self, kind: str, known: _Subscription, words: str) -> None:
        status = self._statuses[kind]
        status.refused, status.refusal = known.sent.version, words[:REFUSAL_CHARS_MAX]
        REFUSALS.labels(kind).inc()
        log.error("refused", kind=kind, version=status.refused, why=status.refusal)
        known.sent = known.taken

    def _take(self, kind: str, known: _Subscription, names: frozenset[str]) -> None:
        if names - known.names:
            self._asked.add(kind)
            self._work.set()
        known.names = names
        if known.taken is known.sent:
            return
        known.taken = known.sent
        status = self._statuses[kind]
        status.acknowledged, status.acknowledge_time_s = known.taken.version, time.time()
        status.refused = status.refusal = ""
        target = self._find_target()
        if target is None or target.version == self._whole or not self._has_taken(target.versions):
            return
        self._whole = target.version
        self._on_taken(target, self._began_s)

    def _has_taken(self, versions: Mapping[str, str]) -> bool:
        return all(
            kind in self._subscriptions and self._subscriptions[kind].taken.version == version
            for kind, version in versions.items()
        )

    async def _roll_out(self, target: Snapshot) -> None:
        held = {kind: one.sent for kind, one in self._subscriptions.items()}
        for step in plan_rollout(held, target, self._asked):
            is_ready = await self._is_ready_for(step)
            if self._hurry:
                return
            if not is_ready:
                continue
            await self._send(step)
            if step.settles:
                await self._until(self._is_settled, TAKEN_WITHIN_S)
                if self._hurry:
                    return

    async def _is_ready_for(self, step: Step) -> bool:
        """Whether the proxy has asked for what this step says, and would not refuse it."""
        if step.kind == ENDPOINTS:
            await self._until(lambda: self._has_asked(step), TAKEN_WITHIN_S)
        known = self._subscriptions.get(step.kind)
        if known is None or self._statuses[step.kind].refused == step.held.version:
            return False
        return self._has_clusters_of(step) and not (step.removes and self._is_any_refused())

    def _has_asked(self, step: Step) -> bool:
        if self._statuses[CLUSTERS].refused:
            return True  # and it never will ask for more
        known = self._subscriptions.get(step.kind)
        return known is not None and known.names >= step.held.resources.keys()

    def _has_clusters_of(self, step: Step) -> bool:
        """Whether the proxy knows where routes lead; it does not if it refused a cluster."""
        clusters = self._subscriptions.get(CLUSTERS)
        known = STATIC_CLUSTERS | (clusters.sent.resources.keys() if clusters else set())
        return all(
            routed_clusters(routes) <= known
            for routes in step.held.resources.values()
            if isinstance(routes, RouteConfiguration)
        )

    def _is_any_refused(self) -> bool:
        return any(status.refused for status in self._statuses.values())

    def _is_settled(self) -> bool:
        return all(known.taken is known.sent for known in self._subscriptions.values())

    async def _send(self, step: Step) -> None:
        known = self._subscriptions[step.kind]
        self._asked.discard(step.kind)
        self._sent_count += 1
        # Nonces of another stream say nothing on this one, so counting will do.
        known.nonce, known.sent = (
            str(self._sent_count),
            Held(step.held.version, step.held.resources),
        )
        self._statuses[step.kind].sent = step.held.version
        message = DiscoveryResponse(
            version_info=step.held.version,
            resources=[
                pack(one)
                for name, one in step.held.resources.items()
                if not known.names or name in known.names
            ],
            type_url=TYPES[step.kind],
            nonce=known.nonce,
        )
        async with asyncio.timeout(WRITTEN_WITHIN_S):
            await self._write(message)

    async def _until(self, is_so: Callable[[], bool], within_s: float) -> None:
        """Waits until something is so, until time is up, or until there is something urgent."""
        try:
            async with asyncio.timeout(within_s):
                while not is_so() and not self._hurry:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return
