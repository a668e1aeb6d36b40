"""The jobs' service as a program, told where everything is that it asks."""

import sys

from stack.home import STARTER, Home
from stack.jobs import airflow, airflow_users
from stack.plan import DRAIN_S, GATEWAY, STOP_MARGIN_S, Probe, Program
from stack.ports import Ports
from stack.stores.where import Stores

NAME = "jobs"


def program(home: Home, ports: Ports, stores: Stores, *, with_airflow: bool) -> Program:
    """The service, on a unix socket. Without Airflow it keeps feedback and takes no jobs."""
    address = f"unix:{home.socket(NAME)}"
    told = {
        "ADDRESS": address,
        "METRICS_PORT": str(ports.jobs_metrics),
        "DRAIN_S": str(DRAIN_S),
        "DATABASE_URI": stores.parley_uri,
        "REGISTRY_ADDRESS": f"unix:{home.socket('registry')}",
        "MLFLOW_ADDRESS": stores.mlflow_address,
        "MLFLOW_TOKEN_FILE": stores.mlflow_token_file,
        **stores.s3_settings,
        "STARTER": STARTER,
        "WORK_DIR": str(home.jobs),
    }
    if with_airflow:
        told["AIRFLOW_URL"] = airflow.page_url(ports)
        told["AIRFLOW_USER"] = airflow_users.SERVICE
        told["AIRFLOW_PASSWORD_FILE"] = str(home.airflow_service)
    return Program(
        name=NAME,
        wave=GATEWAY,
        command=(sys.executable, "-m", "services.jobs"),
        environment={f"PARLEY_JOBS_{name}": value for name, value in told.items() if value},
        probes=(Probe("grpc", address),),
        ready_within_s=60,
        stop_within_s=DRAIN_S + STOP_MARGIN_S,
    )
