"""The file that Envoy starts from.

It holds keys: write it with mode 0600. A file that Envoy cannot read it prints whole, keys and all,
so only what `build_bootstrap` made should ever be given to it.
"""

import json
import re

from envoy_data_plane.envoy.config.bootstrap.v3 import (
    Admin,
    Bootstrap,
    BootstrapApplicationLogConfig,
    BootstrapApplicationLogConfigLogFormat,
    BootstrapStaticResources,
    LayeredRuntime,
    RuntimeLayer,
)
from envoy_data_plane.envoy.config.core.v3 import Node
from envoy_data_plane.envoy.config.metrics.v3 import StatsConfig, TagSpecifier
from envoy_data_plane.envoy.config.overload.v3 import (
    OverloadAction,
    OverloadManager,
    ResourceMonitor,
    ThresholdTrigger,
    Trigger,
)
from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration
from envoy_data_plane.envoy.extensions.resource_monitors.downstream_connections.v3 import (
    DownstreamConnectionsConfig,
)
from envoy_data_plane.envoy.extensions.resource_monitors.fixed_heap.v3 import FixedHeapConfig

from services.mesh.clusters import static_clusters
from services.mesh.discovery import dynamic_resources
from services.mesh.listeners import (
    edge_listener,
    mesh_listener,
    mlflow_listener,
    stats_listener,
)
from services.mesh.routes import SERVING, SERVING_SERVICE, mesh_routes
from services.mesh.topology import Limits, Topology
from services.mesh.typed import address, pack, seconds, struct

OWNER_ONLY = 0o600
FIXED_HEAP = "envoy.resource_monitors.fixed_heap"
CONNECTIONS = "envoy.resource_monitors.global_downstream_max_connections"
# Shares of the heap at which Envoy gives memory back, then ends idle connections, then refuses.
OVERLOAD_STEPS = {
    "envoy.overload_actions.shrink_heap": 0.90,
    "envoy.overload_actions.disable_http_keepalive": 0.92,
    "envoy.overload_actions.stop_accepting_requests": 0.95,
}
# Envoy closes a connection when over half of this many requests were reset before an answer. The
# mesh's one connection lives for days and its clients cancel; `listeners.py` bounds resets by rate.
PREMATURE_RESETS = {"overload.premature_reset_total_stream_count": 1_000_000_000}
# Envoy's default labels cut a gRPC service's name at its dots; ours name the method. A label
# without a pattern has Envoy's own.
LABELS = {
    "envoy.cluster_name": None,
    "envoy.http_conn_manager_prefix": None,
    "envoy.response_code": None,
    "envoy.response_code_class": None,
    "grpc_method": rf"^cluster\.[^.]+\.grpc\.({re.escape(SERVING_SERVICE)}\.(\w+)\.)",
}
LOG_FORMAT = {"time": "%Y-%m-%dT%T.%e%z", "level": "%l", "logger": "%n", "message": "%j"}


def build_bootstrap(topology: Topology) -> str:
    """Builds Envoy's whole configuration as JSON for `envoy -c`.

    Raises ValueError for an address that is neither `unix:/path` nor `ip:port`.
    """
    listeners = [
        edge_listener(topology),
        mesh_listener(topology, _mesh_routes(topology)),
        stats_listener(topology),
    ]
    if topology.mlflow_address:
        listeners.append(mlflow_listener(topology))
    bootstrap = Bootstrap(
        node=Node(id="envoy-0", cluster="parley"),
        admin=Admin(
            address=address(topology.admin_address, mode=OWNER_ONLY),
            ignore_global_conn_limit=True,
        ),
        static_resources=BootstrapStaticResources(
            listeners=listeners,
            clusters=static_clusters(topology),
        ),
        dynamic_resources=(
            dynamic_resources(topology.snapshot_dir) if topology.is_discovered else None
        ),
        overload_manager=_overload(topology.limits),
        stats_config=StatsConfig(
            use_all_default_tags=False,
            stats_tags=[TagSpecifier(tag_name=name, regex=regex) for name, regex in LABELS.items()],
        ),
        layered_runtime=LayeredRuntime(
            layers=[RuntimeLayer(name="static", static_layer=struct(PREMATURE_RESETS))]
        ),
        application_log_config=BootstrapApplicationLogConfig(
            log_format=BootstrapApplicationLogConfigLogFormat(json_format=struct(LOG_FORMAT))
        ),
    )
    # `str` keeps the fields' own names: betterproto2's two casings misspell `consecutive_5xx`.
    return json.dumps(bootstrap.to_dict(casing=str), indent=1)


def _mesh_routes(topology: Topology) -> RouteConfiguration | None:
    """The mesh listener's routes, or None where they come from elsewhere."""
    if topology.is_discovered:
        return None
    return mesh_routes(
        SERVING,
        topology.limits,
        registry=bool(topology.registry_address),
        jobs=bool(topology.jobs_address),
    )


def _overload(limits: Limits) -> OverloadManager:
    heap = FixedHeapConfig(max_heap_size_bytes=limits.heap_bytes_max)
    connections = DownstreamConnectionsConfig(
        max_active_downstream_connections=limits.connections_total_max
    )
    return OverloadManager(
        refresh_interval=seconds(0.25),
        resource_monitors=[
            ResourceMonitor(name=FIXED_HEAP, typed_config=pack(heap)),
            ResourceMonitor(name=CONNECTIONS, typed_config=pack(connections)),
        ],
        actions=[_step(action, share) for action, share in OVERLOAD_STEPS.items()],
    )


def _step(action: str, share: float) -> OverloadAction:
    trigger = Trigger(name=FIXED_HEAP, threshold=ThresholdTrigger(value=share))
    return OverloadAction(name=action, triggers=[trigger])
