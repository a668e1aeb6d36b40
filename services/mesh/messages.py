"""The mesh on the wire: replicas, routes and proxies, as GetMesh shows them."""

import time

from google.protobuf.timestamp_pb2 import Timestamp
from parley.mesh.v1 import mesh_pb2 as pb

from services.mesh.ads import ProxyStatus
from services.mesh.conductor import Conductor
from services.mesh.members import Stay
from services.mesh.snapshot import effective
from services.mesh.state import MeshState, ModelTraffic


def to_mesh(conductor: Conductor, proxies: list[ProxyStatus], detail: str) -> pb.GetMeshResponse:
    """All that there is to say now; `detail` is what is wrong beside the conductor's own."""
    began_s = time.time() - time.monotonic()
    state, snapshot = conductor.state, conductor.snapshot
    return pb.GetMeshResponse(
        replicas=[_to_replica(stay, began_s) for stay in conductor.members.shown()],
        models=[_to_route(model, state) for model in state.models] if state else [],
        proxies=[_to_proxy(one) for one in sorted(proxies, key=lambda one: one.name)],
        snapshot=snapshot.version if snapshot else "",
        snapshot_time=_time(conductor.snapshot_time_s) if snapshot else None,
        revision=state.revision if state else 0,
        detail=" ".join(part for part in (conductor.detail, detail) if part),
    )


def _to_replica(stay: Stay, began_s: float) -> pb.Replica:
    """`began_s` is when the clock of stays began, in seconds since 1970."""
    return pb.Replica(
        report=stay.report,
        report_time=_time(began_s + stay.heard_s),
        join_time=_time(began_s + stay.joined_s),
        left=stay.left,
    )


def _to_route(model: ModelTraffic, state: MeshState) -> pb.ModelRoute:
    holders = {
        version: [one.name for one in state.members if (model.model, version) in one.ready]
        for version in _versions(model)
    }
    ready = frozenset(version for version, names in holders.items() if names)
    weights = {share.version: share.weight for share in model.shares}
    takes = {share.version: share.weight for share in effective(model.shares, ready)}
    routes = [
        pb.VersionRoute(
            version=version,
            weight=weights.get(version, 0),
            effective_weight=takes.get(version, 0),
            replicas=names,
            aliases=[one.alias for one in model.aliases if one.version == version],
        )
        for version, names in holders.items()
    ]
    return pb.ModelRoute(model=model.model, versions=sorted(routes, key=lambda one: -one.weight))


def _versions(model: ModelTraffic) -> list[str]:
    """Every version that is spoken of, each once."""
    return list(dict.fromkeys([*(share.version for share in model.shares), *model.versions]))


def _to_proxy(proxy: ProxyStatus) -> pb.Proxy:
    return pb.Proxy(
        name=proxy.name,
        connected=proxy.connected,
        resources=[
            pb.ResourceStatus(
                kind=one.kind,
                sent=one.sent,
                acknowledged=one.acknowledged,
                acknowledge_time=_time(one.acknowledge_time_s) if one.acknowledged else None,
                refused=one.refused,
                refusal=one.refusal,
            )
            for one in sorted(proxy.resources, key=lambda one: one.kind)
        ],
    )


def _time(seconds: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromMicroseconds(round(seconds * 1e6))
    return stamp
