"""The registry's process, told where the stores are."""

import sys

from stack.home import Home
from stack.plan import DRAIN_S, REGISTRY, STOP_MARGIN_S, Probe, Program
from stack.ports import Ports
from stack.stores.where import Stores

NAME = "registry"
MESH = "mesh"


def program(home: Home, ports: Ports, stores: Stores) -> Program:
    """The registry, on a unix socket."""
    address = f"unix:{home.socket(NAME)}"
    told = {
        "ADDRESS": address,
        "METRICS_PORT": str(ports.registry_metrics),
        "DRAIN_S": str(DRAIN_S),
        "DATABASE_URI": stores.parley_uri,
        **stores.s3_settings,
        "MLFLOW_ADDRESS": stores.mlflow_address,
        "MLFLOW_TOKEN_FILE": stores.mlflow_token_file,
        "IMPORTS_DIR": str(home.imports),
        "MESH_ADDRESS": f"unix:{home.socket(MESH)}",
    }
    return Program(
        name=NAME,
        wave=REGISTRY,
        command=(sys.executable, "-m", "services.registry"),
        environment={f"PARLEY_REGISTRY_{name}": value for name, value in told.items() if value},
        probes=(Probe("grpc", address),),
        ready_within_s=180,
        stop_within_s=DRAIN_S + STOP_MARGIN_S,
    )
