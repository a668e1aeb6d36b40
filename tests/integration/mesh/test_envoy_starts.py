"""Envoy itself accepts what Parley builds, and starts from it again and again."""

import subprocess
from dataclasses import replace

import pytest

from services.mesh.bootstrap import build_bootstrap
from services.mesh.command import envoy_arguments
from services.mesh.topology import Replica

from .programs import plan, running_envoy


@pytest.mark.parametrize(
    "changes",
    [
        {"replicas": (Replica("serving-0", "unix:/nowhere/serving-0.sock"),)},
        {"replicas": (Replica("serving-0", "unix:/nowhere/0.sock"), Replica("far", "[fd00::2]:1"))},
        {"replicas": (), "control_address": "unix:/nowhere/mesh.sock"},
    ],
)
def test_envoy_finds_nothing_wrong(tmp_path, changes):
    """Envoy's own validation passes, with no word of warning."""
    config = tmp_path / "envoy.json"
    config.write_text(build_bootstrap(replace(plan(tmp_path), **changes)))
    verdict = subprocess.run(
        [*envoy_arguments(config), "--mode", "validate"], capture_output=True, text=True, timeout=30
    )
    assert verdict.returncode == 0, verdict.stderr[:2000]
    warnings = [line for line in verdict.stderr.splitlines() if "work-in-progress" not in line]
    assert warnings == []


def test_start_after_a_kill_needs_no_cleaning(tmp_path):
    """The socket that a killed Envoy leaves behind is no obstacle."""
    topology = plan(tmp_path)
    for _ in range(2):
        with running_envoy(tmp_path, topology):
            assert (tmp_path / "admin.sock").exists()
    assert (tmp_path / "admin.sock").exists()  # killed, so it is still there
    with running_envoy(tmp_path, topology) as envoy:
        assert (envoy.folder / "envoy.err").read_text() == ""
