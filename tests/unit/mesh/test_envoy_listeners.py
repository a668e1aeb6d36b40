"""How requests are taken in: the hardening of Envoy's guide for edge proxies, value by value."""

import pytest

HTTP = ["edge", "mesh", "mlflow", "stats"]


@pytest.mark.parametrize("name", HTTP)
def test_every_listener_is_hardened(managers, name):
    """What no listener may lack."""
    manager = managers[name]
    expected = {
        "use_remote_address": True,
        "normalize_path": True,
        "merge_slashes": True,
        "generate_request_id": True,
        "always_set_request_id_in_response": True,
        "stream_error_on_invalid_http_message": True,
        "request_headers_timeout": "10s",
        "stream_idle_timeout": "60s",
        "max_request_headers_kb": 32,
    }
    assert {key: manager.get(key) for key in expected} == expected
    common = manager["common_http_protocol_options"]
    assert common["headers_with_underscores_action"] == "REJECT_REQUEST"
    assert common["idle_timeout"] == "300s"


@pytest.mark.parametrize(("name", "streams"), [("edge", 100), ("mesh", 1000), ("stats", 100)])
def test_http2_has_bounds(managers, name, streams):
    """Streams and windows of one connection; the mesh's one connection carries all calls."""
    options = managers[name]["http2_protocol_options"]
    assert options["max_concurrent_streams"] == streams
    assert options["initial_stream_window_size"] == 64 << 10
    assert options["initial_connection_window_size"] == 1 << 20


def test_connections_and_buffers_have_bounds(config):
    """Each listener takes so many connections, and holds so little of each."""
    for listener in config["static_resources"]["listeners"]:
        limit = listener["filter_chains"][0]["filters"][0]["typed_config"]
        assert limit["max_connections"] == 1_000
        assert listener["per_connection_buffer_limit_bytes"] == 32 << 10


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("edge", "UNESCAPE_AND_REDIRECT"),
        ("mesh", "REJECT_REQUEST"),
        ("mlflow", "KEEP_UNCHANGED"),
        ("stats", "REJECT_REQUEST"),
    ],
)
def test_escaped_slashes_never_reach_routing(managers, name, action):
    """A route is chosen by the path that the service will see; MLflow's has but one."""
    assert managers[name]["path_with_escaped_slashes_action"] == action


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("edge", ["x-parley-"]),
        ("mlflow", ["x-parley-"]),
        ("stats", ["x-parley-"]),
        ("mesh", ["x-parley-client", "x-parley-version"]),
    ],
)
def test_own_headers_are_dropped_before_anything_reads_them(managers, name, ours):
    """Only the proxy itself may say x-parley-* and x-envoy-*; in the mesh the facade says whom it
    calls for, and what to route by."""
    (early,) = managers[name]["early_header_mutation_extensions"]
    rules = early["typed_config"]["mutations"]
    matchers = [rule["remove_on_match"]["key_matcher"] for rule in rules]
    assert matchers == [{"prefix": one, "ignore_case": True} for one in (*ours, "x-envoy-")]


@pytest.mark.parametrize(
    ("name", "filters"),
    [
        ("edge", ["local_ratelimit", "api_key_auth", "router"]),
        ("mesh", ["grpc_stats", "header_to_metadata", "api_key_auth", "router"]),
        ("mlflow", ["api_key_auth", "router"]),
        ("stats", ["router"]),
    ],
)
def test_key_is_asked_last_before_the_router(managers, name, filters):
    """Nothing after the key's check could send the request elsewhere."""
    assert [one["name"].rpartition(".")[2] for one in managers[name]["http_filters"]] == filters


@pytest.mark.parametrize(
    ("name", "clients", "sources"),
    [
        (
            "edge",
            ["user", "page"],
            [{"header": "authorization"}, {"header": "x-api-key"}, {"cookie": "parley_session"}],
        ),
        (
            "mlflow",
            ["user", "page"],
            [{"header": "authorization"}, {"header": "x-api-key"}, {"cookie": "parley_session"}],
        ),
        ("mesh", ["user", "gateway"], [{"header": "authorization"}, {"header": "x-api-key"}]),
    ],
)
def test_keys_are_for_known_clients_and_go_no_further(managers, name, clients, sources):
    """Who may call, where the key may be, and what services see instead of it."""
    (auth,) = [
        one["typed_config"]
        for one in managers[name]["http_filters"]
        if one["name"].endswith("api_key_auth")
    ]
    assert [one["client"] for one in auth["credentials"]] == clients
    assert auth["key_sources"] == sources
    assert auth["forwarding"] == {"header": "x-parley-client", "hide_credentials": True}


def test_request_id_is_made_at_the_edge_and_kept_in_the_mesh(managers):
    """One id from edge to engine."""
    assert "preserve_external_request_id" not in managers["edge"]
    assert managers["mesh"]["preserve_external_request_id"] is True


def test_mesh_speaks_http2_only(managers):
    """A browser cannot speak it in clear text, so no page reaches the mesh."""
    assert managers["mesh"]["codec_type"] == "HTTP2"
    assert "codec_type" not in managers["edge"]  # AUTO: HTTP/1.1 and HTTP/2
