"""What holds for the whole configuration: who can reach it, what bounds it, where keys are."""

import json
from pathlib import Path

from services.mesh.bootstrap import build_bootstrap
from services.mesh.command import envoy_arguments
from services.mesh.topology import Topology


def walk(node):
    """Every object in a JSON tree."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node:
        if isinstance(child, dict | list):
            yield from walk(child)


def test_listeners_are_of_loopback_only(config):
    """Nothing listens where another machine could reach it."""
    listeners = config["static_resources"]["listeners"]
    addresses = [one["address"]["socket_address"] for one in listeners]
    assert [one["port_value"] for one in addresses] == [8080, 8081, 8082, 5000]
    assert {one["address"] for one in addresses} == {"127.0.0.1"}


def test_admin_is_a_socket_of_its_owner(config):
    """The admin shows keys: no port leads there."""
    pipe = config["admin"]["address"]["pipe"]
    assert pipe == {"path": "/run/parley/admin.sock", "mode": 0o600}


def test_same_topology_gives_the_same_text(good):
    """The configuration is a pure function, so that a second start can see that nothing changed."""
    assert build_bootstrap(Topology(**good)) == build_bootstrap(Topology(**good))


def test_keys_are_in_the_key_filters_alone(config):
    """No other part of the configuration, so no header, route, log or reply, holds a key."""
    for node in walk(config):
        for key, value in node.items():
            if isinstance(value, str) and "canary" in value:
                assert (key, set(node)) == ("key", {"key", "client"})


def test_command_line_holds_no_key(good, tmp_path):
    """Anyone on the machine can read it."""
    config = tmp_path / "envoy.json"
    config.write_text(build_bootstrap(Topology(**good)))
    words = envoy_arguments(config, concurrency=2, drain_s=5)
    assert Path(words[0]).is_file()
    assert words[words.index("--config-path") + 1] == str(config)
    assert words[words.index("--concurrency") + 1] == "2"
    assert words[words.index("--drain-time-s") + 1] == "5"
    assert "--disable-hot-restart" in words
    assert "canary" not in " ".join(words)


def test_memory_and_connections_have_a_bound(config):
    """The heap is fixed: Envoy gives memory back, then ends idle connections, then refuses."""
    manager = config["overload_manager"]
    bounds = {one["name"]: one["typed_config"] for one in manager["resource_monitors"]}
    heap = bounds["envoy.resource_monitors.fixed_heap"]
    connections = bounds["envoy.resource_monitors.global_downstream_max_connections"]
    assert int(heap["max_heap_size_bytes"]) == 512 << 20
    assert int(connections["max_active_downstream_connections"]) == 5_000
    steps = {
        one["name"].rpartition(".")[2]: one["triggers"][0]["threshold"]["value"]
        for one in manager["actions"]
    }
    assert steps == {
        "shrink_heap": 0.90,
        "disable_http_keepalive": 0.92,
        "stop_accepting_requests": 0.95,
    }


def test_log_formats_name_no_secret_header(config):
    """Neither a key's header, nor a cookie, nor a query can be in a log line."""
    formats = [
        node["log_format"]["json_format"]
        for node in walk(config)
        if "json_format" in node.get("log_format", {})
    ]
    text = json.dumps(formats).lower()
    assert len(formats) == 4  # edge, mesh, MLflow, Envoy's own
    for secret in ("authorization", "x-api-key", "cookie", "referer", "%req(:path)%", "canary"):
        assert secret not in text
    assert "%path(nq:path)" in text
