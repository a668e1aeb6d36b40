"""One good topology, and the configuration that Parley builds from it."""

import json

import pytest

from services.mesh.bootstrap import build_bootstrap
from services.mesh.topology import Replica, Topology

GOOD = {
    "edge_port": 8080,
    "mesh_port": 8081,
    "stats_port": 8082,
    "admin_address": "unix:/run/parley/admin.sock",
    "gateway_address": "unix:/run/parley/gateway.sock",
    "replicas": (
        Replica("serving-0", "unix:/run/parley/serving-0.sock"),
        Replica("serving-1", "10.0.0.2:50051"),
    ),
    "edge_clients": {"user": "canary-user"},
    "mesh_clients": {"user": "canary-user", "gateway": "canary-mesh"},
    "page_key": "canary-page",
    "registry_address": "unix:/run/parley/registry.sock",
    "jobs_address": "unix:/run/parley/jobs.sock",
    "mlflow_address": "unix:/run/parley/mlflow.sock",
    "mlflow_port": 5000,
}
WITHOUT_STORES = {
    **GOOD,
    "registry_address": "",
    "jobs_address": "",
    "mlflow_address": "",
    "mlflow_port": 0,
}


@pytest.fixture
def good():
    """The good topology's arguments; bad ones differ by one thing."""
    return dict(GOOD)


@pytest.fixture(scope="session")
def config():
    """The whole configuration, as Envoy reads it."""
    return json.loads(build_bootstrap(Topology(**GOOD)))


@pytest.fixture(scope="session")
def bare_config():
    """The configuration of a stack without stores."""
    return json.loads(build_bootstrap(Topology(**WITHOUT_STORES)))


@pytest.fixture(scope="session")
def managers(config):
    """Each listener's HTTP connection manager, by the listener's name."""
    listeners = config["static_resources"]["listeners"]
    return {
        one["name"]: one["filter_chains"][0]["filters"][-1]["typed_config"] for one in listeners
    }


@pytest.fixture(scope="session")
def clusters(config):
    """Each cluster, by name."""
    return {one["name"]: one for one in config["static_resources"]["clusters"]}
