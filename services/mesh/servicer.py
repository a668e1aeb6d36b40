"""parley.mesh.v1.Mesh: proto to domain and back."""

import asyncio
from collections.abc import AsyncIterator, Callable

import grpc
from parley.mesh.v1 import mesh_pb2 as pb
from parley.mesh.v1 import mesh_pb2_grpc as pb_grpc

from services.mesh.ads import ProxyStatus
from services.mesh.conductor import Conductor
from services.mesh.members import Stay, name_taken
from services.mesh.messages import to_mesh
from services.mesh.typed import address
from services.rpc.durations import to_duration
from services.rpc.errors import InvalidArgument, ParleyError, PermissionDenied, Unavailable
from services.rpc.principal import FACADE, LOCAL, read_principal

SERVICE = pb.DESCRIPTOR.services_by_name["Mesh"].full_name
STREAM_ENDED = "Its stream ended."
DRAINED = "It ended after its drain."
# Who comes past the mesh, or with its own key: people's keys ask replicas, and are none.
MAY_JOIN = (LOCAL, FACADE)


class Servicer(pb_grpc.MeshServicer):
    """Answers for one conductor.

    `interval_s` is how often replicas are to report; `proxies` and `find_detail` say how proxies
    are, and what is wrong.
    """

    def __init__(
        self,
        conductor: Conductor,
        interval_s: float,
        proxies: Callable[[], list[ProxyStatus]],
        find_detail: Callable[[], str] = lambda: "",
    ) -> None:
        self._conductor = conductor
        self._interval = to_duration(interval_s)
        self._proxies = proxies
        self._find_detail = find_detail
        # What ends each replica's stream, by its stay.
        self._ends: dict[Stay, asyncio.Future[ParleyError]] = {}
        self._closed = False

    async def Join(
        self, request_iterator: AsyncIterator[pb.JoinRequest], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.JoinResponse]:
        """Keeps a replica in the mesh while its stream lasts."""
        _check_may_join(read_principal(context.invocation_metadata()))
        stay: Stay | None = None
        end: asyncio.Future[ParleyError] = asyncio.get_running_loop().create_future()
        try:
            while (request := await _next(request_iterator, end)) is not None:
                stay = self._hear(stay, request.report, end)
                yield pb.JoinResponse(interval=self._interval)
        finally:
            if stay is not None:
                del self._ends[stay]
                draining = stay.report.state == pb.REPLICA_STATE_DRAINING
                self._conductor.leave(stay, DRAINED if draining else STREAM_ENDED)

    async def GetMesh(
        self, request: pb.GetMeshRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetMeshResponse:
        """Shows the mesh."""
        return to_mesh(self._conductor, self._proxies(), self._find_detail())

    def close(self) -> None:
        """Ends every replica's stream: this process goes away, which says nothing of replicas."""
        self._closed = True
        for end in self._ends.values():
            _set(end, _going_away())

    def _hear(self, stay: Stay | None, report: pb.Report, end: asyncio.Future[ParleyError]) -> Stay:
        if self._closed:
            raise _going_away()
        _check_address(report.address)
        heard = self._conductor.hear(stay, report)
        if stay is None:
            self._ends[heard] = end
            for other, others_end in self._ends.items():
                if other is not heard and other.report.name == report.name:
                    _set(others_end, name_taken(report.name))
        return heard


async def _next(
    requests: AsyncIterator[pb.JoinRequest], end: asyncio.Future[ParleyError]
) -> pb.JoinRequest | None:
    """The next request, None when there are no more. Raises what `end` says when it comes first."""
    asked = asyncio.ensure_future(anext(requests, None))
    try:
        await asyncio.wait({asked, end}, return_when=asyncio.FIRST_COMPLETED)
        if end.done():
            raise end.result()
        return asked.result()
    finally:
        asked.cancel()


def _set(end: asyncio.Future[ParleyError], error: ParleyError) -> None:
    if not end.done():
        end.set_result(error)


def _check_may_join(principal: str) -> None:
    if principal not in MAY_JOIN:
        raise PermissionDenied(
            f"The key of {principal!r} may ask replicas, not be one. A replica joins with the "
            "mesh's own key.",
            reason="NO_REPLICA",
        )


def _check_address(text: str) -> None:
    try:
        address(text)
    except ValueError as error:
        raise InvalidArgument(
            f"No proxy can reach {text!r}: {error}. Name unix:/path or ip:port.",
            reason="INVALID_FIELD",
            metadata={"field": "report.address"},
        ) from None


def _going_away() -> Unavailable:
    return Unavailable(
        "The mesh's process ends. Join again.", reason="GOING_AWAY", retry_after_s=0.1
    )
