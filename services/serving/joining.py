"""Keeps this replica in the mesh: says what it is at once when that changes, and each second.

Serving never waits for it. Without a mesh to reach it asks again, ever more slowly up to a second,
and the replica answers whoever comes.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import grpc
import structlog
from google.protobuf.duration_pb2 import Duration
from parley.mesh.v1 import mesh_pb2 as pb
from parley.mesh.v1 import mesh_pb2_grpc as pb_grpc

from services.rpc import errors
from services.rpc.channel import call_metadata, open_channel
from services.rpc.durations import to_duration
from services.serving.metrics import Counts, counts_of
from services.serving.replica import Replica, Report
from services.serving.routing import Phase

log = structlog.get_logger()

RETRY_S_MIN, RETRY_S_MAX = 0.1, 1.0
# Who was told that it may not join asks again less often.
REFUSED_S = 5.0
INTERVAL_S = 1.0
# How long a drain waits until the mesh knows of it.
DRAIN_TOLD_S_MAX = 1.0
VERSIONS_MAX = 256
DETAIL_CHARS_MAX = 250  # of four bytes at most
REFUSALS = (
    errors.InvalidArgument,
    errors.PermissionDenied,
    errors.ResourceExhausted,
    errors.Unauthenticated,
)
PHASES = {
    Phase.FETCHING: pb.VERSION_PHASE_LOADING,
    Phase.STORED: pb.VERSION_PHASE_LOADING,
    Phase.LOADING: pb.VERSION_PHASE_LOADING,
    Phase.READY: pb.VERSION_PHASE_READY,
    Phase.DRAINING: pb.VERSION_PHASE_DRAINING,
    Phase.CLOSING: pb.VERSION_PHASE_DRAINING,
    Phase.BROKEN: pb.VERSION_PHASE_FAILED,
    Phase.FAILED: pb.VERSION_PHASE_FAILED,
}


class Joiner:
    """A replica's stay in the mesh at `mesh_address`; `report` says what there is to report."""

    def __init__(
        self, report: Callable[[], pb.Report], mesh_address: str, key: str | None = None
    ) -> None:
        self._report = report
        self._channel = open_channel(mesh_address)
        self._stub = pb_grpc.MeshStub(self._channel)
        self._key = key
        self._changed = asyncio.Event()
        self._interval_s = INTERVAL_S
        # In the stream that there is: its reports, its answers, and the first report of a drain.
        self._sent = self._answered = self._drain_at = 0
        self._drain_told = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to join."""
        self._task = asyncio.get_running_loop().create_task(self._keep_joining())

    def tell(self) -> None:
        """Says that what there is to report may have changed."""
        self._changed.set()

    async def drain(self) -> None:
        """Waits until the mesh knows that the replica drains, but not for long."""
        self.tell()
        if not self._answered:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_TOLD_S_MAX):
                await self._drain_told.wait()

    async def close(self) -> None:
        """Leaves the mesh."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        await self._channel.close()

    async def _keep_joining(self) -> None:
        delay_s = RETRY_S_MIN
        while True:
            refused = await self._stay_while_possible(quiet=delay_s > RETRY_S_MIN)
            if self._answered:
                # It was in the mesh, whose process is perhaps being started again.
                delay_s, self._answered = RETRY_S_MIN, 0
            # Not all replicas at the same moment.
            spread = random.uniform(0.5, 1.0)  # noqa: S311 (no secret)
            await asyncio.sleep(spread * (REFUSED_S if refused else delay_s))
            delay_s = min(delay_s * 2, RETRY_S_MAX)

    async def _stay_while_possible(self, *, quiet: bool) -> bool:
        """Joins, stays, and says whether it was told not to. A `quiet` one says less of why."""
        try:
            await self._stay()
        except grpc.aio.AioRpcError as error:
            told = errors.from_rpc_error(error)
            refused = isinstance(told, REFUSALS) or told.reason == "NAME_TAKEN"
            if refused or not quiet:
                log.warning("not in the mesh", reason=told.reason, why=told.message)
            return refused
        except Exception:
            log.exception("joining failed")
        return False

    async def _stay(self) -> None:
        """One stream, from its first report to its end. Raises AioRpcError."""
        self._sent = self._answered = self._drain_at = 0
        call = self._stub.Join(self._reports(), metadata=call_metadata("join", self._key))
        try:
            async for answer in call:
                self._take_interval(answer.interval)
                self._answered += 1
                if self._answered == 1:
                    log.info("in the mesh")
                if 0 < self._drain_at <= self._answered:
                    self._drain_told.set()
        finally:
            call.cancel()

    def _take_interval(self, interval: Duration) -> None:
        asked_s = interval.ToTimedelta().total_seconds() or INTERVAL_S
        if asked_s != self._interval_s:
            # Whoever waits for the next report waits for too long, perhaps.
            self._interval_s = asked_s
            self.tell()

    async def _reports(self) -> AsyncIterator[pb.JoinRequest]:
        """A report at once, whenever something has changed, and once in each interval."""
        while True:
            self._changed.clear()
            self._sent += 1
            report = self._report()
            if report.state == pb.REPLICA_STATE_DRAINING and not self._drain_at:
                self._drain_at = self._sent
            yield pb.JoinRequest(report=report)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await self._changed.wait()


def to_report(replica: Replica, address: str) -> pb.Report:
    """All that there is to say of a replica; `address` is where proxies reach it."""
    state = pb.REPLICA_STATE_SERVING if replica.serving else pb.REPLICA_STATE_LOADING
    return pb.Report(
        name=replica.name,
        address=address,
        state=pb.REPLICA_STATE_DRAINING if replica.draining else state,
        versions=[_to_version(one) for one in replica.report()[:VERSIONS_MAX]],
    )


def _to_version(report: Report) -> pb.VersionReport:
    key, loaded = report.version.key, report.loaded
    return pb.VersionReport(
        model=key.model,
        version=key.version,
        phase=PHASES[report.phase],
        detail=report.detail[:DETAIL_CHARS_MAX],
        running=loaded.engine.load.running if loaded else 0,
        waiting=loaded.waiting if loaded else 0,
        counts=_to_counts(counts_of(key.model, key.version)),
    )


def _to_counts(counts: Counts) -> pb.Counts:
    return pb.Counts(
        finished=counts.finished,
        failed=counts.failed,
        first_tokens=counts.first_tokens,
        first_token_duration=to_duration(counts.first_token_s),
        next_tokens=counts.next_tokens,
        next_token_duration=to_duration(counts.next_token_s),
    )
