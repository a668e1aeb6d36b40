"""What the mesh says of a model's versions: GetMesh, as the driver of canaries reads it."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

import grpc
from google.protobuf.duration_pb2 import Duration
from parley.mesh.v1 import mesh_pb2 as pb
from parley.mesh.v1 import mesh_pb2_grpc as pb_grpc

from services.registry.canary.figures import Counts, Phase, Report
from services.rpc.channel import call_metadata, open_channel
from services.rpc.errors import from_rpc_error

LOOK_S = 1.0
REQUEST_ID = "canary"
PHASES = {
    pb.VERSION_PHASE_LOADING: Phase.LOADING,
    pb.VERSION_PHASE_READY: Phase.READY,
    pb.VERSION_PHASE_DRAINING: Phase.DRAINING,
    pb.VERSION_PHASE_FAILED: Phase.FAILED,
}
PRESENT = (pb.REPLICA_STATE_LOADING, pb.REPLICA_STATE_SERVING)
Reports = Mapping[str, list[Report]]


class MeshReader:
    """Asks one mesh."""

    def __init__(self, address: str) -> None:
        self._channel = open_channel(address)
        self._stub = pb_grpc.MeshStub(self._channel)

    async def look(self) -> Reports:
        """Gets the reports of each model's numbered versions, by the model's name.

        Raises ParleyError when the mesh does not answer within a second.
        """
        try:
            told = await self._stub.GetMesh(
                pb.GetMeshRequest(), timeout=LOOK_S, metadata=call_metadata(REQUEST_ID)
            )
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
        return to_reports(told)

    async def close(self) -> None:
        """Closes the connection."""
        await self._channel.close()


def to_reports(mesh: pb.GetMeshResponse) -> Reports:
    """Reads reports. A replica that has left is left out where another one has its name."""
    reports: dict[str, list[Report]] = defaultdict(list)
    here = {replica.report.name for replica in mesh.replicas if not replica.left}
    for replica in mesh.replicas:
        name = replica.report.name
        if replica.left and name in here:
            continue
        present = not replica.left and replica.report.state in PRESENT
        time_s = replica.report_time.ToNanoseconds() / 1e9
        join_s = replica.join_time.ToNanoseconds() / 1e9
        for one in replica.report.versions:
            # Without a registry a version is a digest; those have no canaries.
            if one.phase in PHASES and one.version.isascii() and one.version.isdecimal():
                found = _to_report(name, one)
                reports[one.model].append(
                    replace(found, time_s=time_s, join_s=join_s, present=present)
                )
    return reports


def _to_report(replica: str, one: pb.VersionReport) -> Report:
    return Report(
        replica=replica,
        number=int(one.version),
        phase=PHASES[one.phase],
        counts=_to_counts(one.counts),
        detail=one.detail,
    )


def _to_counts(counts: pb.Counts) -> Counts:
    return Counts(
        finished=counts.finished,
        failed=counts.failed,
        first_tokens=counts.first_tokens,
        first_token_s=_seconds(counts.first_token_duration),
        next_tokens=counts.next_tokens,
        next_token_s=_seconds(counts.next_token_duration),
    )


def _seconds(duration: Duration) -> float:
    return duration.ToNanoseconds() / 1e9
