"""Envoy's listeners: the edge (HTTP, SDKs and the page), the mesh (gRPC), MLflow's page and API,
the stats (read-only).

All are of 127.0.0.1. Where requests go is for `routes.py`; this file holds how they are taken in.
The values follow Envoy's guide for edge proxies.
"""

from envoy_data_plane.envoy.config.core.v3 import (
    Http2ProtocolOptions,
    HttpProtocolOptions,
    HttpProtocolOptionsHeadersWithUnderscoresAction,
)
from envoy_data_plane.envoy.config.listener.v3 import Filter, FilterChain, Listener
from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration
from envoy_data_plane.envoy.extensions.filters.network.connection_limit.v3 import ConnectionLimit
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpConnectionManagerCodecType,
    HttpConnectionManagerPathWithEscapedSlashesAction,
    HttpFilter,
    Rds,
    RequestIdExtension,
)
from envoy_data_plane.envoy.extensions.request_id.uuid.v3 import UuidRequestIdConfig

from services.mesh import filters
from services.mesh.access_log import edge_log, mesh_log, mlflow_log
from services.mesh.clusters import BUFFER_BYTES, CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES
from services.mesh.discovery import routes_source
from services.mesh.replies import edge_replies, mesh_replies, mlflow_replies
from services.mesh.routes import MESH, SERVING_SERVICE, edge_routes, mlflow_routes, stats_routes
from services.mesh.topology import Limits, Topology
from services.mesh.typed import loopback, pack, seconds

MESH_RESETS_BURST = 100_000
MESH_RESETS_PER_S = 10_000
IDLE_CONNECTION_S = 300
SERVER_NAME = "parley"

EscapedSlashes = HttpConnectionManagerPathWithEscapedSlashesAction


def edge_listener(topology: Topology) -> Listener:
    """HTTP/1.1 and HTTP/2 in clear text, with a key asked on all but the page's own paths."""
    limits = topology.limits
    manager = _manager("edge", edge_routes(limits), limits, limits.edge_streams_max)
    # A model's name may hold a slash, which SDKs send as %2F: unescape, have the client ask again.
    manager.path_with_escaped_slashes_action = EscapedSlashes.UNESCAPE_AND_REDIRECT
    manager.request_timeout = seconds(limits.body_s)
    manager.access_log = [edge_log()]
    manager.local_reply_config = edge_replies()
    manager.http_filters = [
        filters.rate_limit(limits),
        _edge_keys(topology),
        filters.router(),
    ]
    return _listener("edge", topology.edge_port, manager, limits)


def mesh_listener(topology: Topology, routes: RouteConfiguration | None) -> Listener:
    """gRPC only, with a key asked of every call; `routes` says which replicas take it, None that
    this comes and changes while Envoy runs."""
    limits = topology.limits
    manager = _manager("mesh", routes, limits, limits.mesh_streams_max)
    if routes is None:
        source = routes_source(topology.snapshot_dir)
        manager.rds = Rds(config_source=source, route_config_name=MESH)
    manager.codec_type = HttpConnectionManagerCodecType.HTTP2
    manager.path_with_escaped_slashes_action = EscapedSlashes.REJECT_REQUEST
    # The facade names its calls by the edge's request id: keep it.
    manager.preserve_external_request_id = True
    manager.early_header_mutation_extensions = [filters.forget_headers(filters.OUR_MESH_HEADERS)]
    _allow_cancels(manager)
    manager.access_log = [mesh_log()]
    manager.local_reply_config = mesh_replies()
    manager.http_filters = [
        filters.grpc_stats(SERVING_SERVICE),
        filters.prefer_replica(),
        filters.key_auth(topology.mesh_clients),
        filters.router(),
    ]
    return _listener("mesh", topology.mesh_port, manager, limits)


def mlflow_listener(topology: Topology) -> Listener:
    """MLflow's page, with the chat page's cookie, and its API, with a key."""
    limits = topology.limits
    manager = _manager("mlflow", mlflow_routes(limits), limits, limits.edge_streams_max)
    # Its paths name artifacts, whose slashes are theirs to escape; one cluster takes all.
    manager.path_with_escaped_slashes_action = EscapedSlashes.KEEP_UNCHANGED
    manager.request_timeout = seconds(limits.body_s)
    manager.access_log = [mlflow_log()]
    manager.local_reply_config = mlflow_replies()
    manager.http_filters = [_edge_keys(topology), filters.router()]
    return _listener("mlflow", topology.mlflow_port, manager, limits)


def stats_listener(topology: Topology) -> Listener:
    """Readiness and metrics for whoever scrapes this machine, without a key."""
    limits = topology.limits
    manager = _manager("stats", stats_routes(), limits, limits.edge_streams_max)
    manager.path_with_escaped_slashes_action = EscapedSlashes.REJECT_REQUEST
    manager.http_filters = [filters.router()]
    listener = _listener("stats", topology.stats_port, manager, limits)
    listener.ignore_global_conn_limit = True  # readiness is asked when the rest is full, too
    return listener


def _edge_keys(topology: Topology) -> HttpFilter:
    return filters.key_auth({**topology.edge_clients, "page": topology.page_key}, cookie=True)


def _manager(
    name: str, routes: RouteConfiguration | None, limits: Limits, streams_max: int
) -> HttpConnectionManager:
    """What every listener asks of HTTP, whatever it carries."""
    return HttpConnectionManager(
        stat_prefix=name,
        route_config=routes,
        server_name=SERVER_NAME,
        common_http_protocol_options=HttpProtocolOptions(
            idle_timeout=seconds(IDLE_CONNECTION_S),
            headers_with_underscores_action=(
                HttpProtocolOptionsHeadersWithUnderscoresAction.REJECT_REQUEST
            ),
        ),
        http2_protocol_options=Http2ProtocolOptions(
            max_concurrent_streams=streams_max,
            initial_stream_window_size=STREAM_WINDOW_BYTES,
            initial_connection_window_size=CONNECTION_WINDOW_BYTES,
        ),
        max_request_headers_kb=limits.headers_kib_max,
        request_headers_timeout=seconds(limits.headers_s),
        stream_idle_timeout=seconds(limits.body_s),
        use_remote_address=True,
        early_header_mutation_extensions=[filters.forget_headers()],
        generate_request_id=True,
        request_id_extension=RequestIdExtension(
            typed_config=pack(UuidRequestIdConfig(pack_trace_reason=False))
        ),
        always_set_request_id_in_response=True,
        normalize_path=True,
        merge_slashes=True,
        # One bad request ends its own stream, not the connection that others share.
        stream_error_on_invalid_http_message=True,
    )


def _allow_cancels(manager: HttpConnectionManager) -> None:
    """Lets the facade cancel as its clients come and go: all its calls share one connection, which
    Envoy would close as an attack (rapid reset) after some hundreds of cancels."""
    options = manager.http2_protocol_options
    options.stream_reset_burst = MESH_RESETS_BURST
    options.stream_reset_rate = MESH_RESETS_PER_S


def _listener(name: str, port: int, manager: HttpConnectionManager, limits: Limits) -> Listener:
    bound = ConnectionLimit(stat_prefix=name, max_connections=limits.connections_max)
    chain = FilterChain(
        filters=[
            Filter(name="envoy.filters.network.connection_limit", typed_config=pack(bound)),
            Filter(
                name="envoy.filters.network.http_connection_manager", typed_config=pack(manager)
            ),
        ]
    )
    return Listener(
        name=name,
        address=loopback(port),
        filter_chains=[chain],
        per_connection_buffer_limit_bytes=BUFFER_BYTES,
        # Else another Envoy of the same user could share the port, and answer half of what comes.
        enable_reuse_port=False,
    )
