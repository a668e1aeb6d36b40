"""A mesh whose replicas say what a test wants them to have counted.

It keeps the rules of the contract that the driver of canaries relies on: numbers only grow while a
replica lives, begin at zero with another one of the same name, and each report has its time.
"""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.duration_pb2 import Duration
from parley.mesh.v1 import mesh_pb2 as pb
from parley.mesh.v1 import mesh_pb2_grpc as pb_grpc

from services.rpc.server import Server
from services.rpc.settings import ServerSettings

SERVICE = pb.DESCRIPTOR.services_by_name["Mesh"].full_name
FIRST_TOKEN_S, NEXT_TOKEN_S, NEXT_TOKENS = 0.1, 0.01, 20


@dataclass
class MeasuredMesh(pb_grpc.MeshServicer):
    """Implements GetMesh. While `answering` names versions, each look finds more answers of them:
    number to what `answer` takes."""

    model: str
    looks: int = 0
    replicas: dict[str, pb.Replica] = field(default_factory=dict)
    answering: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)

    def hold(
        self, number: int, phase: "pb.VersionPhase" = pb.VERSION_PHASE_READY, *, detail: str = "",
        replica: str = "serving-0",
    ) -> pb.VersionReport:  # fmt: skip
        """Has a replica say what it can do with a version; gives its report, to be changed."""
        report = self.replicas.setdefault(replica, pb.Replica()).report
        report.name, report.state = replica, pb.REPLICA_STATE_SERVING
        for one in report.versions:
            if one.version == str(number):
                one.phase, one.detail = phase, detail
                return one
        return report.versions.add(
            model=self.model, version=str(number), phase=phase, detail=detail
        )

    def answer(
        self,
        number: int,
        *,
        finished: int = 0,
        failed: int = 0,
        slowness: float = 1.0,
        replica: str = "serving-0",
    ) -> None:
        """Has a replica count answers, each `slowness` times as slow as usual."""
        counts = self.hold(number, replica=replica).counts
        counts.finished += finished
        counts.failed += failed
        both = finished + failed
        counts.first_tokens += both
        counts.next_tokens += both * NEXT_TOKENS
        _add(counts.first_token_duration, both * FIRST_TOKEN_S * slowness)
        _add(counts.next_token_duration, both * NEXT_TOKENS * NEXT_TOKEN_S * slowness)

    def restart(self, replica: str = "serving-0") -> None:
        """Puts another replica in the place of one: it counts from zero."""
        self.replicas[replica].join_time.FromNanoseconds(time.time_ns())
        for one in self.replicas[replica].report.versions:
            one.counts.Clear()

    async def GetMesh(self, request: pb.GetMeshRequest, context: Any) -> pb.GetMeshResponse:
        """As of now."""
        self.looks += 1
        for number, counted in self.answering.items():
            self.answer(number, **counted)
        for replica in self.replicas.values():
            replica.report_time.FromNanoseconds(time.time_ns())
        return pb.GetMeshResponse(replicas=[self.replicas[name] for name in sorted(self.replicas)])


@asynccontextmanager
async def running_mesh(mesh: MeasuredMesh, address: str) -> AsyncIterator[None]:
    """Runs it on Parley's own server until the block ends."""
    server = Server(ServerSettings(address=address, drain_s=0, health_interval_s=0), [SERVICE])
    pb_grpc.add_MeshServicer_to_server(mesh, server.grpc)
    await server.start()
    try:
        yield
    finally:
        await server.grpc.stop(0)


def _add(duration: Duration, seconds: float) -> None:
    duration.FromNanoseconds(duration.ToNanoseconds() + round(seconds * 1e9))
