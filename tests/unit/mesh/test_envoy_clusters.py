"""What stands behind the listeners, and when Envoy leaves it alone."""

import pytest


def test_replicas_are_the_serving_cluster(clusters):
    """Each replica is an endpoint under its name."""
    (group,) = clusters["serving"]["load_assignment"]["endpoints"]
    endpoints = [one["endpoint"] for one in group["lb_endpoints"]]
    assert [one["hostname"] for one in endpoints] == ["serving-0", "serving-1"]
    assert endpoints[0]["address"]["pipe"]["path"] == "/run/parley/serving-0.sock"
    assert endpoints[1]["address"]["socket_address"]["address"] == "10.0.0.2"


def test_call_goes_to_the_least_busy_healthy_replica(clusters):
    """And fails at once where none is healthy, instead of trying a sick one."""
    serving = clusters["serving"]
    assert serving["lb_policy"] == "LEAST_REQUEST"
    # Envoy looks at two by default, and they may be the same one.
    assert serving["least_request_lb_config"]["choice_count"] == 16
    assert serving["common_lb_config"]["healthy_panic_threshold"] == {}  # zero percent


def test_replicas_are_asked_for_their_health_each_second(clusters):
    """Often enough to leave a dead one soon and to find one that is back sooner."""
    (check,) = clusters["serving"]["health_checks"]
    assert check["grpc_health_check"]["service_name"] == "parley.serving.v1.ModelServing"
    assert (check["interval"], check["no_traffic_interval"]) == ("1s", "1s")
    assert check["unhealthy_interval"] == "0.250s"
    assert (check["unhealthy_threshold"], check["healthy_threshold"]) == (2, 1)


def test_lone_replica_is_never_put_aside(clusters):
    """Outlier detection tells lost connections from answers, and takes half of them at most."""
    outliers = clusters["serving"]["outlier_detection"]
    assert outliers["split_external_local_origin_errors"] is True
    assert outliers["max_ejection_percent"] == 50
    assert outliers["enforcing_consecutive_5xx"] == 0
    assert outliers["max_ejection_time"] == "10s"


def test_drain_is_left_in_peace(clusters):
    """A replica that turns NOT_SERVING keeps its running streams."""
    assert "close_connections_on_host_health_failure" not in clusters["serving"]


@pytest.mark.parametrize("name", ["gateway", "serving"])
def test_clusters_have_bounds_and_never_retry(clusters, name):
    """The facade alone retries, for it alone knows what was sent already."""
    (threshold,) = clusters[name]["circuit_breakers"]["thresholds"]
    assert threshold["max_requests"] == 1_000
    assert threshold["max_retries"] == 0
    assert clusters[name]["per_connection_buffer_limit_bytes"] == 32 << 10
    assert clusters[name]["connect_timeout"] == "1s"


def test_dead_connection_is_noticed_by_pings(clusters):
    """Slower than our servers' bound on pings, which hang up on a peer that is faster."""
    protocol = next(iter(clusters["serving"]["typed_extension_protocol_options"].values()))
    keepalive = protocol["explicit_http_config"]["http2_protocol_options"]["connection_keepalive"]
    assert keepalive == {"interval": "6s", "timeout": "3s"}
