"""Puts together what replicas and the registry say, and has the proxies told of it.

What is more waits a moment for more of its kind; what is less is told at once. Knows no gRPC and
none of Envoy's messages.

A process that begins anew knows nothing yet, and must not tell proxies so: those that were there
before it count as there until they have joined again, or have had time enough to.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

import structlog
from parley.mesh.v1 import mesh_pb2 as pb

from services.mesh.composing import Told, compose
from services.mesh.members import INTERVALS_SILENT, Change, Members, Stay
from services.mesh.snapshot import Snapshot, check_consistent
from services.mesh.state import Member, MeshState, ModelTraffic

log = structlog.get_logger()

# Looks for silences in an interval.
LOOKS = 4
# How long who was there before may take to join again. Proxies see by themselves who is dead.
INTERVALS_ABSENT = 10
NOT_BUILT = "The last change could not be told to proxies; the mesh's log says why."


class Publisher(Protocol):
    """Who tells proxies."""

    def publish(self, snapshot: Snapshot, urgent: bool) -> None:
        """Has proxies follow a snapshot; what it removes is removed at once if it is urgent."""


class Conductor:
    """The mesh as it is, and as proxies are told of it.

    Args:
        members: who is there.
        publisher: told of each new snapshot.
        build: makes a snapshot of a state.
        before: the state that proxies had before this process began, None for none.
        registry: whether a registry says how traffic is spread.
        keep: takes each state that was published, to be `before` one day.
        interval_s: how often replicas report.
        coalesce_s: how long what is more waits.
    """

    def __init__(
        self,
        members: Members,
        publisher: Publisher,
        build: Callable[[MeshState], Snapshot],
        *,
        before: MeshState | None,
        registry: bool,
        keep: Callable[[MeshState], None],
        interval_s: float,
        coalesce_s: float,
    ) -> None:
        self.members = members
        self.state: MeshState | None = None
        self.snapshot: Snapshot | None = None
        self.snapshot_time_s = 0.0
        self.detail = ""
        self.begun = asyncio.Event()
        self._publisher = publisher
        self._build = build
        self._absent = before.members if before else ()
        self._registry = registry
        self._told = Told(before.revision, before.models) if before and registry else None
        self._keep = keep
        self._interval_s = interval_s
        self._coalesce_s = coalesce_s
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def run(self) -> None:
        """Looks for silences until it is cancelled."""
        looked_s = patient_until_s = time.monotonic()
        given_up_s = looked_s + self._interval_s * INTERVALS_ABSENT
        while not self._closed:
            now_s = time.monotonic()
            if now_s - looked_s > self._interval_s:
                # It was this process that was held up: what was said meanwhile is yet to be read.
                patient_until_s = now_s + self._interval_s * INTERVALS_SILENT
            looked_s = now_s
            if now_s >= given_up_s:
                self._give_up()
            if self._told or not self._registry:
                self._begin()
            if now_s >= patient_until_s:
                self._on_change(self.members.expire(now_s))
            await asyncio.sleep(self._interval_s / LOOKS)

    def hear(self, stay: Stay | None, report: pb.Report) -> Stay:
        """Takes a report of a stream, None before its first one. Raises as `Members.take`."""
        stay, change = self.members.take(stay, report, time.monotonic())
        self._on_change(change)
        return stay

    def leave(self, stay: Stay, why: str) -> None:
        """A replica's stream has ended. While this process ends, that says nothing of replicas."""
        if not self._closed:
            self._on_change(self.members.leave(stay, why, time.monotonic()))

    def on_traffic(self, revision: int, models: tuple[ModelTraffic, ...]) -> None:
        """Takes what the registry says."""
        self._told = Told(revision, models)
        self._on_change(Change.MORE)

    def close(self) -> None:
        """Tells proxies nothing any more: they go on with what they have."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    def _on_change(self, change: Change) -> None:
        if change is Change.NONE or self._closed:
            return
        if not self.begun.is_set():
            if self._told or not self._registry:
                self._begin()
        elif change is Change.LESS:
            self._publish(urgent=True)
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._coalesce_s, self._publish)

    def _begin(self) -> None:
        if not self.begun.is_set():
            self.begun.set()
            self._publish(urgent=True)

    def _give_up(self) -> None:
        """Whoever was there before and has not come, is not there; nor is a registry."""
        if self._registry and self._told is None:
            self._told = Told()
        if self._absent:
            self._absent = ()
            self._on_change(Change.LESS)

    def _members(self) -> list[Member]:
        """Those that are there, and those that have not joined since this process began."""
        come = {stay.report.name for stay in self.members.shown()}
        absent = (member for member in self._absent if member.name not in come)
        return sorted([*self.members.present(), *absent], key=lambda member: member.name)

    def _publish(self, urgent: bool = False) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        state = compose(self._members(), self._told)
        if state == self.state:
            return
        self.state = state
        try:
            snapshot = self._build(state)
            check_consistent(snapshot)
        except Exception:
            # Proxies go on with what they have, and the next change is tried again.
            log.exception("no snapshot")
            self.detail = NOT_BUILT
            return
        self.detail = ""
        if self.snapshot is None or snapshot.version != self.snapshot.version:
            self.snapshot, self.snapshot_time_s = snapshot, time.time()
            self._publisher.publish(snapshot, urgent)
            log.info("told", snapshot=snapshot.version, replicas=len(state.members), urgent=urgent)
        self._keep(state)
