"""The order in which a proxy is told of a change, so that no request is routed to nowhere. Pure.

What comes, comes before the routes that lead to it; what goes, goes behind the routes that have
left it. Envoy waits for nothing by itself: a route to a cluster that it does not know is a 503.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from betterproto2 import Message

from services.mesh.discovery import CLUSTERS, ENDPOINTS, ROUTES
from services.mesh.snapshot import Snapshot, hash_of


@dataclass(frozen=True, slots=True)
class Held:
    """All that a proxy has of one kind, and the version by which it knows it."""

    version: str = ""
    resources: Mapping[str, Message] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """One message to a proxy: all of one kind.

    `settles` is whether the proxy must have taken it, and all before it, before the next step;
    `removes` whether the step only takes away.
    """

    kind: str
    held: Held
    settles: bool = False
    removes: bool = False


def plan_rollout(
    held: Mapping[str, Held], target: Snapshot, asked: Collection[str] = ()
) -> list[Step]:
    """The steps from what a proxy holds to `target`; none where it holds that already.

    Kinds in `asked` are told in any case. Clusters that have changed wait for their endpoints, even
    where those are as before, so both are told together; Envoy says that it has taken the clusters
    once it has these and their replicas have been asked for their health.
    """
    before = {kind: held.get(kind, Held()) for kind in (CLUSTERS, ENDPOINTS, ROUTES)}
    after = {kind: Held(target.versions[kind], target.resources[kind]) for kind in before}
    wanted = after[CLUSTERS].resources
    stale = {name: one for name, one in before[CLUSTERS].resources.items() if name not in wanted}
    both = after[CLUSTERS]
    if stale:
        resources = {**stale, **wanted}
        both = Held(hash_of(resources), resources)

    def differs(kind: str) -> bool:
        return kind in asked or after[kind].version != before[kind].version

    grows = CLUSTERS in asked or both.version != before[CLUSTERS].version
    steps = []
    if grows:
        steps.append(Step(CLUSTERS, both))
    if grows or differs(ENDPOINTS):
        steps.append(Step(ENDPOINTS, after[ENDPOINTS], settles=grows))
    if differs(ROUTES):
        steps.append(Step(ROUTES, after[ROUTES], settles=bool(stale)))
    if stale:
        steps.append(Step(CLUSTERS, after[CLUSTERS], removes=True))
    return steps
