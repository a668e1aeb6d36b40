"""An Envoy whose replicas come and go hears of them from the mesh process, or from its files."""

import json

import pytest

from services.mesh.bootstrap import build_bootstrap
from services.mesh.topology import Topology

CONTROL = "unix:/run/parley/mesh.sock"


@pytest.fixture
def follows(good):
    """Builds the bootstrap of the good topology, with replicas that come and go."""

    def build(**changes):
        return json.loads(build_bootstrap(Topology(**{**good, "replicas": (), **changes})))

    return build


def mesh_manager(config):
    listeners = {one["name"]: one for one in config["static_resources"]["listeners"]}
    return listeners["mesh"]["filter_chains"][0]["filters"][-1]["typed_config"]


def test_the_mesh_process_says_clusters_and_routes(follows):
    """Over one stream, which is begun again within a second."""
    config = follows(control_address=CONTROL)
    dynamic = config["dynamic_resources"]
    assert "ads" in dynamic["cds_config"]
    (service,) = dynamic["ads_config"]["grpc_services"]
    assert service["envoy_grpc"]["cluster_name"] == "mesh-control"
    retry = service["envoy_grpc"]["retry_policy"]["retry_back_off"]
    assert retry == {"base_interval": "0.100s", "max_interval": "1s"}
    manager = mesh_manager(config)
    assert "route_config" not in manager
    assert manager["rds"]["route_config_name"] == "mesh"
    assert "ads" in manager["rds"]["config_source"]


def test_the_mesh_process_is_reached_whatever_its_health_says(follows):
    """A proxy that is not told may not ask less often for it."""
    clusters = follows(control_address=CONTROL)["static_resources"]["clusters"]
    (control,) = [one for one in clusters if one["name"] == "mesh-control"]
    assert "health_checks" not in control
    assert "serving" not in {one["name"] for one in clusters}


def test_files_say_the_same(follows):
    """Where the folder is given, the process is asked for nothing but replicas of others."""
    config = follows(control_address=CONTROL, snapshot_dir="/var/mesh")
    cds = config["dynamic_resources"]["cds_config"]
    assert cds["path_config_source"]["path"] == "/var/mesh/cds.json"
    assert "ads_config" not in config["dynamic_resources"]
    rds = mesh_manager(config)["rds"]["config_source"]
    assert rds["path_config_source"]["path"] == "/var/mesh/rds.json"
    assert "mesh-control" in {one["name"] for one in config["static_resources"]["clusters"]}


def test_fixed_replicas_and_those_that_come_and_go_exclude_each_other(good):
    """Nobody should wait for a replica that is never asked."""
    with pytest.raises(ValueError, match="replicas must be empty"):
        Topology(**{**good, "control_address": CONTROL})
