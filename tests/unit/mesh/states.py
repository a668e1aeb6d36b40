"""One good state of a mesh; what tests ask of others differs from it by one thing."""

from services.mesh.snapshot import build_snapshot
from services.mesh.state import Aliased, Member, MeshState, ModelTraffic, Share
from services.mesh.topology import Limits

A = Member("serving-0", "unix:/run/0.sock", frozenset({("qwen", "1"), ("qwen", "2")}), True)
B = Member("serving-1", "10.0.0.2:50051", frozenset({("qwen", "2")}), True)
LOADING = Member("serving-2", "unix:/run/2.sock", frozenset(), False)
QWEN = ModelTraffic(
    "qwen",
    (Share("1", 90), Share("2", 10)),
    (Aliased("champion", "1"), Aliased("next", "2"), Aliased("old", "0")),
    ("1", "2"),
)
GOOD = MeshState((A, B, LOADING), (QWEN,), 7)


def snapshot(state=GOOD, *, registry=True, jobs=True, control=True):
    """What proxies are told of a state."""
    return build_snapshot(state, Limits(), registry=registry, jobs=jobs, control=control)
