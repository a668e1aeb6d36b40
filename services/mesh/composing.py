"""What proxies are to know, of what replicas and the registry say. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from services.mesh.state import Member, MeshState, ModelTraffic, Share

WEIGHT_ALL = 100


@dataclass(frozen=True, slots=True)
class Told:
    """What the registry says of traffic, and the revision of that."""

    revision: int = 0
    models: tuple[ModelTraffic, ...] = ()


def compose(members: Sequence[Member], told: Told | None) -> MeshState:
    """The mesh as it should be now; `told` is None where no registry has a say."""
    if told is None:
        return MeshState(tuple(members), spread(members))
    return MeshState(tuple(members), told.models, told.revision)


def spread(members: Sequence[Member]) -> tuple[ModelTraffic, ...]:
    """The traffic where nobody says how to spread it: by how many replicas have each version."""
    found: dict[str, Counter[str]] = {}
    for member in members:
        for model, version in member.ready:
            found.setdefault(model, Counter())[version] += 1
    return tuple(
        ModelTraffic(model, _shares(counts), (), tuple(sorted(counts)))
        for model, counts in sorted(found.items())
    )


def _shares(counts: Counter[str]) -> tuple[Share, ...]:
    """Shares of 100 in proportion to counts. What is left by rounding goes to the first ones."""
    total = sum(counts.values())
    weights = {name: WEIGHT_ALL * count // total for name, count in sorted(counts.items())}
    for name in list(weights)[: WEIGHT_ALL - sum(weights.values())]:
        weights[name] += 1
    return tuple(Share(name, weight) for name, weight in weights.items() if weight)
