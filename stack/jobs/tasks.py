"""What the tasks of jobs are told, by their environment. No secret is in it: files are named."""

import sys

from stack.environment.places import ROOT
from stack.home import Home
from stack.ports import LOOPBACK, Ports
from stack.stores import mlflow
from stack.stores.own import Own, OwnWandb
from stack.stores.where import Stores


def environment(home: Home, ports: Ports, stores: Stores, own: Own) -> dict[str, str]:
    """For the DAGs, which become tasks, and for what the tasks run."""
    wandb = own.wandb or OwnWandb()
    told = {
        "WORK_DIR": str(home.jobs),
        "JOBS_ADDRESS": f"unix:{home.socket('jobs')}",
        "REGISTRY_ADDRESS": f"unix:{home.socket('registry')}",
        "MESH_ADDRESS": f"{LOOPBACK}:{ports.mesh}",
        "MESH_KEY_FILE": str(home.mesh_key),
        **stores.s3_settings,
        "MLFLOW_URL": own.mlflow.uri if own.mlflow else f"http://{LOOPBACK}:{ports.mlflow}",
        "MLFLOW_KEY_FILE": stores.mlflow_token_file if own.mlflow else str(home.api_key),
        "WANDB_MODE": wandb.mode,
        "WANDB_DIR": str(home.wandb),
        "WANDB_BASE_URL": wandb.base_url,
        "WANDB_KEY_FILE": str(wandb.key_file.expanduser()) if wandb.key_file else "",
        "WANDB_ENTITY": wandb.entity,
        "WANDB_PROJECT": wandb.project,
    }
    named = {f"PARLEY_TRAINING_{name}": value for name, value in told.items() if value}
    # A server of the user's says itself where its artifacts go.
    artifacts = {} if own.mlflow else mlflow.artifacts_environment(stores)
    dags = {"PARLEY_DAGS_PYTHON": sys.executable, "PARLEY_DAGS_ROOT": str(ROOT)}
    return {**named, **artifacts, **dags}
