"""Reports of replicas, as replicas would make them."""

from collections.abc import Mapping

from parley.mesh.v1 import mesh_pb2 as pb

MODEL = "tiny"
READY, LOADING = pb.VERSION_PHASE_READY, pb.VERSION_PHASE_LOADING
SERVING, DRAINING = pb.REPLICA_STATE_SERVING, pb.REPLICA_STATE_DRAINING


def report(
    name: str = "serving-0",
    versions: Mapping[str, int] | None = None,
    *,
    state: int = SERVING,
    address: str = "",
) -> pb.Report:
    """A report of a replica that has version 1 of "tiny" ready, unless told otherwise."""
    phases = {"1": READY} if versions is None else versions
    return pb.Report(
        name=name,
        address=address or f"unix:/run/{name}.sock",
        state=state,
        versions=[
            pb.VersionReport(model=MODEL, version=version, phase=phase)
            for version, phase in phases.items()
        ],
    )
