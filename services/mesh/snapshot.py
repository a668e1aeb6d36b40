"""All that proxies are told of the mesh, made from its state at one moment. Pure.

A snapshot is whole: every cluster has its endpoints, and every route leads to a cluster. Its
versions are hashes of what it holds, so that a process that begins anew makes the same ones.
"""

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from betterproto2 import Message
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment
from envoy_data_plane.envoy.config.route.v3 import Route, RouteConfiguration

from services.mesh.clusters import assignment, discovered_cluster
from services.mesh.discovery import CLUSTERS, ENDPOINTS, ROUTES
from services.mesh.model_routes import cluster_of, pinned_route, weighted_route
from services.mesh.routes import MESH, SERVING, STATIC_CLUSTERS, mesh_routes
from services.mesh.state import Member, MeshState, Share
from services.mesh.topology import Limits, Replica

WEIGHT_ALL = 100
VERSION_DIGITS = 16
# What may stand in a header. One name that may not would have Envoy refuse all routes.
PLAIN = re.compile(r"[!-~]{1,256}")

# For each model, the replicas that have each of its versions ready.
Holders = dict[str, dict[str, list[Replica]]]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What proxies are to have: for each kind, its resources by name, and their version."""

    version: str
    resources: Mapping[str, Mapping[str, Message]]
    versions: Mapping[str, str]


def build_snapshot(
    state: MeshState, limits: Limits, *, registry: bool, jobs: bool, control: bool
) -> Snapshot:
    """Makes what proxies are told of a state.

    `registry`, `jobs` and `control` say whether proxies know the clusters of the registry, of the
    jobs and of the mesh process itself. A model or version whose name cannot stand in a header is
    not routed by name; a replica then chooses. Raises ValueError for an address that is neither
    `unix:/path` nor `ip:port`.
    """
    members = sorted(state.members, key=lambda one: one.name)
    holders = _holders(members)
    groups = {SERVING: [Replica(one.name, one.address) for one in members if one.serving]}
    for model, versions in holders.items():
        groups |= {cluster_of(model, version): found for version, found in versions.items()}
    models = list(_model_routes(state, holders, limits))
    routes = mesh_routes(
        SERVING, limits, registry=registry, jobs=jobs, control=control, models=models
    )
    return snapshot_of(
        {
            CLUSTERS: {name: discovered_cluster(name, limits) for name in sorted(groups)},
            ENDPOINTS: {name: assignment(name, groups[name]) for name in sorted(groups)},
            ROUTES: {routes.name: routes},
        }
    )


def snapshot_of(resources: Mapping[str, Mapping[str, Message]]) -> Snapshot:
    """Names resources by what they hold."""
    versions = {kind: hash_of(resources[kind]) for kind in sorted(resources)}
    whole = hashlib.sha256(repr(sorted(versions.items())).encode())
    return Snapshot(whole.hexdigest()[:VERSION_DIGITS], resources, versions)


def hash_of(resources: Mapping[str, Message]) -> str:
    """A name for what a set of resources holds, the same in every process."""
    digest = hashlib.sha256()
    for name in sorted(resources):
        for part in (name.encode(), bytes(resources[name])):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:VERSION_DIGITS]


def effective(shares: Sequence[Share], ready_versions: Collection[str]) -> tuple[Share, ...]:
    """The shares that versions take now: those that nobody has ready give theirs to the others.

    In rising order of version, so that most draws stay with their version when weights shift. They
    sum to 100; empty where no version with a share is ready.
    """
    weights: dict[str, int] = {}
    for share in shares:
        if share.weight > 0 and share.version in ready_versions:
            weights[share.version] = weights.get(share.version, 0) + share.weight
    if not weights:
        return ()
    total = sum(weights.values())
    versions = sorted(weights, key=_rising)
    parts = {version: WEIGHT_ALL * weights[version] // total for version in versions}
    # What is left by rounding goes to those that lost most by it.
    lost = sorted(versions, key=lambda version: -(WEIGHT_ALL * weights[version] % total))
    for version in lost[: WEIGHT_ALL - sum(parts.values())]:
        parts[version] += 1
    return tuple(Share(version, parts[version]) for version in versions if parts[version])


def check_consistent(snapshot: Snapshot) -> None:
    """Raises ValueError naming the first thing that is missing or that nothing asks for."""
    for kind in (CLUSTERS, ENDPOINTS, ROUTES):
        for name, message in snapshot.resources.get(kind, {}).items():
            if (own := _own_name(message)) != name:
                raise ValueError(f"{kind}: {name} holds {own}")
    clusters, endpoints = set(snapshot.resources[CLUSTERS]), set(snapshot.resources[ENDPOINTS])
    if missing := sorted(clusters - endpoints):
        raise ValueError(f"clusters without endpoints: {', '.join(missing)}")
    if extra := sorted(endpoints - clusters):
        raise ValueError(f"endpoints without a cluster: {', '.join(extra)}")
    routes = snapshot.resources[ROUTES].get(MESH)
    if not isinstance(routes, RouteConfiguration):
        raise ValueError(f"no routes for the listener {MESH}")
    if lost := sorted(routed_clusters(routes) - clusters - STATIC_CLUSTERS):
        raise ValueError(f"routes to clusters that are not there: {', '.join(lost)}")


def routed_clusters(routes: RouteConfiguration) -> set[str]:
    """The names of all clusters that routes lead to."""
    found: set[str] = set()
    for host in routes.virtual_hosts:
        for route in host.routes:
            if route.route is None:
                continue
            weighted = route.route.weighted_clusters
            found |= {one.name for one in weighted.clusters} if weighted else set()
            found |= {route.route.cluster} if route.route.cluster else set()
    return found


def _own_name(message: Message) -> str:
    if isinstance(message, ClusterLoadAssignment):
        return message.cluster_name
    return message.name if isinstance(message, Cluster | RouteConfiguration) else ""


def _holders(members: Sequence[Member]) -> Holders:
    """Models and versions in their order; only what can be named in a header."""
    found: Holders = {}
    ready = {pair for member in members if member.serving for pair in member.ready}
    for model, version in sorted(ready, key=lambda pair: (pair[0], _rising(pair[1]))):
        # A version with an @ could be taken for another model's.
        if PLAIN.fullmatch(model) and PLAIN.fullmatch(version) and "@" not in version:
            found.setdefault(model, {})[version] = [
                Replica(one.name, one.address)
                for one in members
                if one.serving and (model, version) in one.ready
            ]
    return found


def _model_routes(state: MeshState, holders: Holders, limits: Limits) -> Iterator[Route]:
    """For each model, in order: its name, its versions, its aliases. The first that asks wins."""
    traffic = {one.model: one for one in state.models}
    asked: set[str] = set()
    for model, versions in holders.items():
        known = traffic.get(model)
        shares = effective(known.shares, versions) if known else ()
        if shares and model not in asked:
            asked.add(model)
            yield weighted_route(model, shares, limits)
        pins = [(version, version) for version in versions]
        for alias in sorted(known.aliases, key=lambda one: one.alias) if known else ():
            if alias.version in versions and PLAIN.fullmatch(alias.alias):
                pins.append((alias.alias, alias.version))
        for name, version in pins:
            if (wanted := f"{model}@{name}") not in asked:
                asked.add(wanted)
                yield pinned_route(wanted, model, version, limits)


def _rising(version: str) -> tuple[bool, int, str]:
    """Numbers by their value, before all else by its letters."""
    number = version.isascii() and version.isdecimal()
    return (not number, int(version) if number else 0, version)
