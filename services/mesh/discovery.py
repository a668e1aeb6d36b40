"""Where Envoy hears what changes while it runs: from the mesh process, or from its files.

Knows the kinds of what is told, not what they hold.
"""

import hashlib
from pathlib import Path

from envoy_data_plane.envoy.config.bootstrap.v3 import BootstrapDynamicResources
from envoy_data_plane.envoy.config.core.v3 import (
    AggregatedConfigSource,
    ApiConfigSource,
    ApiConfigSourceApiType,
    ApiVersion,
    BackoffStrategy,
    ConfigSource,
    GrpcService,
    GrpcServiceEnvoyGrpc,
    PathConfigSource,
    RetryPolicy,
)

from services.mesh.routes import MESH_CONTROL
from services.mesh.typed import seconds

CLUSTERS, ENDPOINTS, ROUTES = "clusters", "endpoints", "routes"
TYPES = {
    CLUSTERS: "type.googleapis.com/envoy.config.cluster.v3.Cluster",
    ENDPOINTS: "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
    ROUTES: "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
}
CLUSTERS_FILE = "cds.json"
# Written last: where it is, the others are.
ROUTES_FILE = "rds.json"
ENDPOINTS_FILES = "eds-*.json"
# Envoy's own would let a control plane that is back wait for up to 30 s.
RETRY_S_MIN, RETRY_S_MAX = 0.1, 1.0
# A cluster is not held up for ever by an answer that does not come.
ENDPOINTS_WITHIN_S = 5.0


def from_control(within_s: float = 0) -> ConfigSource:
    """The mesh process says it, over the one stream to it.

    Envoy goes on without after `within_s`. 0 is for ever: listeners without routes would tell
    callers that no such service exists.
    """
    return ConfigSource(
        ads=AggregatedConfigSource(),
        initial_fetch_timeout=seconds(within_s),
        resource_api_version=ApiVersion.V3,
    )


def from_file(path: Path) -> ConfigSource:
    """A file says it, again each time that another is moved into its place."""
    return ConfigSource(
        path_config_source=PathConfigSource(path=str(path)), resource_api_version=ApiVersion.V3
    )


def endpoints_file(cluster: str) -> str:
    """The name of the file with a cluster's endpoints; a cluster's name may hold anything."""
    return f"eds-{hashlib.sha256(cluster.encode()).hexdigest()[:16]}.json"


def dynamic_resources(snapshot_dir: str) -> BootstrapDynamicResources:
    """What a bootstrap says of clusters that come and go; an empty folder is the mesh process."""
    if snapshot_dir:
        return BootstrapDynamicResources(cds_config=from_file(Path(snapshot_dir) / CLUSTERS_FILE))
    wait = BackoffStrategy(base_interval=seconds(RETRY_S_MIN), max_interval=seconds(RETRY_S_MAX))
    client = GrpcServiceEnvoyGrpc(
        cluster_name=MESH_CONTROL, retry_policy=RetryPolicy(retry_back_off=wait)
    )
    return BootstrapDynamicResources(
        cds_config=from_control(),
        ads_config=ApiConfigSource(
            api_type=ApiConfigSourceApiType.GRPC,
            transport_api_version=ApiVersion.V3,
            grpc_services=[GrpcService(envoy_grpc=client)],
            set_node_on_first_message_only=True,
        ),
    )


def routes_source(snapshot_dir: str) -> ConfigSource:
    """Where the mesh listener's routes come from; an empty folder is the mesh process."""
    return from_file(Path(snapshot_dir) / ROUTES_FILE) if snapshot_dir else from_control()
