"""What stands behind the listeners: the facade, the serving replicas, the registry, MLflow, Envoy's
own admin; and the mesh process.

No cluster retries: one layer does, the facade, which alone knows what was sent already.
"""

import re
from collections.abc import Sequence

from envoy_data_plane.envoy.config.cluster.v3 import (
    CircuitBreakers,
    CircuitBreakersThresholds,
    Cluster,
    ClusterCommonLbConfig,
    ClusterDiscoveryType,
    ClusterEdsClusterConfig,
    ClusterLbPolicy,
    ClusterLbSubsetConfig,
    ClusterLbSubsetConfigLbSubsetFallbackPolicy,
    ClusterLbSubsetConfigLbSubsetSelector,
    ClusterLeastRequestLbConfig,
    OutlierDetection,
)
from envoy_data_plane.envoy.config.core.v3 import (
    HealthCheck,
    HealthCheckGrpcHealthCheck,
    Http1ProtocolOptions,
    Http2ProtocolOptions,
    HttpProtocolOptions,
    KeepaliveSettings,
    Metadata,
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

from services.mesh.discovery import ENDPOINTS_WITHIN_S, from_control
from services.mesh.filters import LB_METADATA, REPLICA_KEY
from services.mesh.routes import (
    ADMIN,
    GATEWAY,
    JOBS,
    JOBS_SERVICES,
    MESH_CONTROL,
    MLFLOW,
    REGISTRY,
    REGISTRY_SERVICE,
    SERVING,
    SERVING_SERVICE,
)
from services.mesh.topology import Limits, Replica, Topology
from services.mesh.typed import address, pack, seconds, struct

CONNECT_S = 1.0
BUFFER_BYTES = 32 << 10
STREAM_WINDOW_BYTES = 64 << 10
CONNECTION_WINDOW_BYTES = 1 << 20
# An answer keeps its replica busy for seconds, so the least busy one must be found, not just the
# better of two. Envoy looks at as many, drawn with repeats: of 3 replicas it misses one in 1 of 657
# requests, of 8 in 1 of 8.
LOOKS = 16
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
    cluster = _one_server(_cluster(name, protocol), address)
    cluster.circuit_breakers = _breakers(limits.connections_max)
    return cluster


def serving_cluster(name: str, replicas: tuple[Replica, ...], limits: Limits) -> Cluster:
    """Serving replicas, over HTTP/2: the least busy of two healthy ones takes the call.

    A stream's cost is its length, so the count of open streams is the load. Where no replica is
    healthy the call fails at once instead of trying one that is not.
    """
    cluster = _grpc_cluster(name, SERVING_SERVICE, limits)
    _give_members(cluster, assignment(name, replicas))
    _balance(cluster)
    return cluster


def discovered_cluster(name: str, limits: Limits) -> Cluster:
    """Serving replicas that come and go while Envoy runs, otherwise as `serving_cluster`.

    A replica that is no longer named gets no more calls, however healthy it looks; what it answers
    goes on to its end.
    """
    cluster = _grpc_cluster(name, SERVING_SERVICE, limits)
    cluster.type = ClusterDiscoveryType.EDS
    cluster.eds_cluster_config = ClusterEdsClusterConfig(
        eds_config=from_control(ENDPOINTS_WITHIN_S)
    )
    # A label ends at the first dot of a name.
    cluster.alt_stat_name = re.sub(r"[^A-Za-z0-9_@-]", "_", name)
    cluster.ignore_health_on_host_removal = True
    _balance(cluster)
    return cluster


def assignment(name: str, replicas: Sequence[Replica]) -> ClusterLoadAssignment:
    """The replicas of a cluster, each of which a caller may prefer by its name."""
    endpoints = [_endpoint(replica) for replica in replicas]
    for endpoint, replica in zip(endpoints, replicas, strict=True):
        said = {LB_METADATA: struct({REPLICA_KEY: replica.name})}
        endpoint.metadata = Metadata(filter_metadata=said)
    groups = [LocalityLbEndpoints(lb_endpoints=endpoints)] if endpoints else []
    return ClusterLoadAssignment(cluster_name=name, endpoints=groups)


def control_cluster(address: str, limits: Limits) -> Cluster:
    """The mesh process. Asked whatever its health says: Envoy's own stream must try again soon."""
    return _one_server(_http2_cluster(MESH_CONTROL, limits), address)


def service_cluster(name: str, address: str, service: str, limits: Limits) -> Cluster:
    """A service with one server, over HTTP/2. While it is not healthy a call fails at once."""
    return _one_server(_grpc_cluster(name, service, limits), address)


def admin_cluster(topology: Topology) -> Cluster:
    """Envoy's own admin socket, for the stats listener."""
    protocol = UpstreamProtocol(
        explicit_http_config=ExplicitHttp(http_protocol_options=Http1ProtocolOptions())
    )
    return _one_server(_cluster(ADMIN, protocol), topology.admin_address)


def static_clusters(topology: Topology) -> list[Cluster]:
    """All clusters that are known when Envoy starts."""
    limits = topology.limits
    clusters = [http_cluster(GATEWAY, topology.gateway_address, limits)]
    if not topology.is_discovered:
        clusters.append(serving_cluster(SERVING, topology.replicas, limits))
    clusters.append(admin_cluster(topology))
    if topology.control_address:
        clusters.append(control_cluster(topology.control_address, limits))
    if topology.registry_address:
        found = service_cluster(REGISTRY, topology.registry_address, REGISTRY_SERVICE, limits)
        clusters.append(found)
    if topology.jobs_address:
        clusters.append(service_cluster(JOBS, topology.jobs_address, JOBS_SERVICES[0], limits))
    if topology.mlflow_address:
        clusters.append(http_cluster(MLFLOW, topology.mlflow_address, limits))
    return clusters


def _grpc_cluster(name: str, service: str, limits: Limits) -> Cluster:
    """Our gRPC servers, of which only those that say that they serve take calls."""
    cluster = _http2_cluster(name, limits)
    cluster.common_lb_config = ClusterCommonLbConfig(healthy_panic_threshold=Percent(value=0))
    cluster.health_checks = [_health(service)]
    return cluster


def _http2_cluster(name: str, limits: Limits) -> Cluster:
    protocol = UpstreamProtocol(
        explicit_http_config=ExplicitHttp(http2_protocol_options=_grpc_http2(limits))
    )
    cluster = _cluster(name, protocol)
    cluster.circuit_breakers = _breakers(limits.mesh_streams_max)
    return cluster


def _cluster(name: str, protocol: UpstreamProtocol) -> Cluster:
    """A cluster that has no members yet."""
    packed: dict[str, Any] = {UPSTREAM_PROTOCOL: pack(protocol)}
    return Cluster(
        name=name,
        connect_timeout=seconds(CONNECT_S),
        per_connection_buffer_limit_bytes=BUFFER_BYTES,
        typed_extension_protocol_options=packed,
    )


def _one_server(cluster: Cluster, address: str) -> Cluster:
    endpoints = [LocalityLbEndpoints(lb_endpoints=[_endpoint(Replica(cluster.name, address))])]
    members = ClusterLoadAssignment(cluster_name=cluster.name, endpoints=endpoints)
    return _give_members(cluster, members)


def _give_members(cluster: Cluster, members: ClusterLoadAssignment) -> Cluster:
    cluster.type = ClusterDiscoveryType.STATIC
    cluster.load_assignment = members
    return cluster


def _endpoint(member: Replica) -> LbEndpoint:
    return LbEndpoint(endpoint=Endpoint(address=address(member.address), hostname=member.name))


def _balance(cluster: Cluster) -> None:
    """The least busy one, or the one that the caller prefers where there is such."""
    cluster.lb_policy = ClusterLbPolicy.LEAST_REQUEST
    cluster.least_request_lb_config = ClusterLeastRequestLbConfig(choice_count=LOOKS)
    cluster.lb_subset_config = ClusterLbSubsetConfig(
        fallback_policy=ClusterLbSubsetConfigLbSubsetFallbackPolicy.ANY_ENDPOINT,
        subset_selectors=[ClusterLbSubsetConfigLbSubsetSelector(keys=[REPLICA_KEY])],
    )
    cluster.outlier_detection = _outliers()


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
