"""Becomes Envoy: one that follows the mesh, or, where the mesh is away, its last files.

Run as `python -m services.mesh.launcher`, in Envoy's place. The mesh counts as there when its
health says so within a moment. Where there are no files either, Envoy waits for the mesh.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.mesh.command import envoy_arguments
from services.rpc.scheduling import give_way

ANSWER_WITHIN_S = 1.0
# The one of the files that is written last; `discovery.py` names it, and takes seconds to import.
LAST_FILE = "rds.json"


def choose(mesh_address: str, config: Path, files_config: Path, files: Path) -> Path:
    """The bootstrap to start from: `files_config` if the mesh is away and `files` are
    whole."""
    if answers(mesh_address) or not (files / LAST_FILE).exists():
        return config
    return files_config


def answers(address: str) -> bool:
    """Whether the mesh has something to tell proxies."""
    with grpc.insecure_channel(address) as channel:
        try:
            asked = health_pb2.HealthCheckRequest()
            stub = health_pb2_grpc.HealthStub(channel)
            answer = stub.Check(asked, timeout=ANSWER_WITHIN_S)
        except grpc.RpcError:
            return False
    return answer.status == health_pb2.HealthCheckResponse.SERVING


def main(arguments: Sequence[str]) -> None:
    """Reads the command line and becomes Envoy."""
    parser = argparse.ArgumentParser(prog="services.mesh.launcher", description=__doc__)
    parser.add_argument("--mesh", required=True, help="the mesh's address: unix:/path")
    parser.add_argument("--config", type=Path, required=True, help="bootstrap that follows it")
    parser.add_argument("--files-config", type=Path, required=True, help="that follows files")
    parser.add_argument("--files", type=Path, required=True, help="the folder of these files")
    parser.add_argument("--drain-s", type=int, default=30, help="how long a drain of Envoy takes")
    told = parser.parse_args(arguments)
    config = choose(told.mesh, told.config, told.files_config, told.files)
    command = envoy_arguments(config, drain_s=told.drain_s)
    give_way()
    os.execv(command[0], command)  # noqa: S606 (no shell wanted)


if __name__ == "__main__":
    main(sys.argv[1:])
