"""What stands behind the listeners: the facade, the serving replicas, the registry, MLflow, Envoy's
own admin.

No cluster retries: one layer does, the facade, which alone knows what was sent already.
"""

from envoy_data_plane.envoy.config.cluster.v3 import (
    CircuitBreakers,
    CircuitBreakersThresholds,
    Cluster,
    ClusterCommonLbConfig,
    ClusterDiscoveryType,
    ClusterLbPolicy,
    OutlierDetection,
)
from envoy_data_plane.envoy.config.core.v3 import (
    HealthCheck,
    HealthCheckGrpcHealthCheck,
    Http1ProtocolOptions,
    Http2ProtocolOptions,
    HttpProtocolOptions,
    KeepaliveSettings,
)
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import (
    HttpProtocolOptions as UpstreamProtocol,
)
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import (
    HttpProtocolOptionsExplicitHttpConfig as ExplicitHttp,
)
from envoy_data_plane.envoy.type.v3 import Percent
from envoy_data_plane.google.protobuf import Any

from services.mesh.routes import (
    ADMIN,
    GATEWAY,
    JOBS,
    JOBS_SERVICES,
    MLFLOW,
    REGISTRY,
    REGISTRY_SERVICE,
    SERVING,
    SERVING_SERVICE,
)
from services.mesh.topology import Limits, Replica, Topology
from services.mesh.typed import address, pack, seconds

CONNECT_S = 1.0
BUFFER_BYTES = 32 << 10
STREAM_WINDOW_BYTES = 64 << 10
CONNECTION_WINDOW_BYTES = 1 << 20
# uvicorn hangs up after 5 s without a request; Envoy must be first, or a request meets the end.
UVICORN_IDLE_S = 4.0
# Our gRPC servers take a ping each 5 s and hang up on a peer that pings more often.
PING_EVERY_S = 6.0
PING_WAIT_S = 3.0
UPSTREAM_PROTOCOL = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def http_cluster(name: str, address: str, limits: Limits) -> Cluster:
    """A server of uvicorn's, over HTTP/1.1: the facade, or MLflow."""
    protocol = UpstreamProtocol(
        common_http_protocol_options=HttpProtocolOptions(idle_timeout=seconds(UVICORN_IDLE_S)),
        explicit_http_config=ExplicitHttp(http_protocol_options=Http1ProtocolOptions()),
    )
    cluster = _cluster(name, (Replica(name, address),), protocol)
    cluster.circuit_breakers = _breakers(limits.connections_max)
    return cluster


def serving_cluster(name: str, replicas: tuple[Replica, ...], limits: Limits) -> Cluster:
    """Serving replicas, over HTTP/2: the least busy of two healthy ones takes the call.

    A stream's cost is its length, so the count of open streams is the load. Where no replica is
    healthy the call fails at once instead of trying one that is not.
    """
    cluster = _grpc_cluster(name, replicas, SERVING_SERVICE, limits)
    cluster.lb_policy = ClusterLbPolicy.LEAST_REQUEST
    cluster.outlier_detection = _outliers()
    return cluster


def service_cluster(name: str, address: str, service: str, limits: Limits) -> Cluster:
    """A service with one server, over HTTP/2. While it is not healthy a call fails at once."""
    return _grpc_cluster(name, (Replica(name, address),), service, limits)


def admin_cluster(topology: Topology) -> Cluster:
    """Envoy's own admin socket, for the stats listener."""
    protocol = UpstreamProtocol(
        explicit_http_config=ExplicitHttp(http_protocol_options=Http1ProtocolOptions())
    )
    return _cluster(ADMIN, (Replica(ADMIN, topology.admin_address),), protocol)


def static_clusters(topology: Topology) -> list[Cluster]:
    """All clusters of a mesh whose replicas are known when Envoy starts."""
    limits = topology.limits
    clusters = [
        http_cluster(GATEWAY, topology.gateway_address, limits),
        serving_cluster(SERVING, topology.replicas, limits),
        admin_cluster(topology),
    ]
    if topology.registry_address:
        found = service_cluster(REGISTRY, topology.registry_address, REGISTRY_SERVICE, limits)
        clusters.append(found)
    if topology.jobs_address:
        clusters.append(service_cluster(JOBS, topology.jobs_address, JOBS_SERVICES[0], limits))
    if topology.mlflow_address:
        clusters.append(http_cluster(MLFLOW, topology.mlflow_address, limits))
    return clusters


def _grpc_cluster(name: str, members: tuple[Replica, ...], service: str, limits: Limits) -> Cluster:
    """Our gRPC servers, of which only those that say that they serve take calls."""
    protocol = UpstreamProtocol(
        explicit_http_config=ExplicitHttp(http2_protocol_options=_grpc_http2(limits))
    )
    cluster = _cluster(name, members, protocol)
    cluster.common_lb_config = ClusterCommonLbConfig(healthy_panic_threshold=Percent(value=0))
    cluster.health_checks = [_health(service)]
    cluster.circuit_breakers = _breakers(limits.mesh_streams_max)
    return cluster


def _cluster(name: str, members: tuple[Replica, ...], protocol: UpstreamProtocol) -> Cluster:
    endpoints = [
        LbEndpoint(endpoint=Endpoint(address=address(member.address), hostname=member.name))
        for member in members
    ]
    assignment = ClusterLoadAssignment(
        cluster_name=name, endpoints=[LocalityLbEndpoints(lb_endpoints=endpoints)]
    )
    packed: dict[str, Any] = {UPSTREAM_PROTOCOL: pack(protocol)}
    return Cluster(
        name=name,
        type=ClusterDiscoveryType.STATIC,
        connect_timeout=seconds(CONNECT_S),
        per_connection_buffer_limit_bytes=BUFFER_BYTES,
        load_assignment=assignment,
        typed_extension_protocol_options=packed,
    )


def _grpc_http2(limits: Limits) -> Http2ProtocolOptions:
    return Http2ProtocolOptions(
        max_concurrent_streams=limits.mesh_streams_max,
        initial_stream_window_size=STREAM_WINDOW_BYTES,
        initial_connection_window_size=CONNECTION_WINDOW_BYTES,
        connection_keepalive=KeepaliveSettings(
            interval=seconds(PING_EVERY_S), timeout=seconds(PING_WAIT_S)
        ),
    )


def _health(service: str) -> HealthCheck:
    """Asks each member every second; a dead one is asked more often, to be back soon."""
    return HealthCheck(
        timeout=seconds(1),
        interval=seconds(1),
        no_traffic_interval=seconds(1),
        unhealthy_interval=seconds(0.25),
        unhealthy_edge_interval=seconds(0.25),
        unhealthy_threshold=2,
        healthy_threshold=1,
        grpc_health_check=HealthCheckGrpcHealthCheck(service_name=service),
    )


def _outliers() -> OutlierDetection:
    """Puts a replica aside for seconds when its connections or its gateway statuses keep failing.

    Half of the replicas at most, so never the only one. INTERNAL is a request's fault as often as a
    replica's, so plain 5xx do not count.
    """
    return OutlierDetection(
        interval=seconds(0.5),
        base_ejection_time=seconds(1),
        max_ejection_time=seconds(10),
        max_ejection_percent=50,
        enforcing_consecutive_5xx=0,
        consecutive_gateway_failure=5,
        enforcing_consecutive_gateway_failure=100,
        split_external_local_origin_errors=True,
        consecutive_local_origin_failure=3,
        enforcing_success_rate=0,
        enforcing_local_origin_success_rate=0,
        successful_active_health_check_uneject_host=False,
    )


def _breakers(requests_max: int) -> CircuitBreakers:
    threshold = CircuitBreakersThresholds(
        max_connections=requests_max,
        max_pending_requests=requests_max,
        max_requests=requests_max,
        max_retries=0,
    )
    return CircuitBreakers(thresholds=[threshold])
