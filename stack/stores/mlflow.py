"""Parley's own MLflow server, on a unix socket. Envoy stands before it and asks for a key."""

import sys

from stack.home import Home
from stack.plan import REGISTRY, Probe, Program
from stack.stores.where import Stores

NAME = "mlflow"
FIRST_WORDS = "starting; the first time it makes its tables"


def program(home: Home, stores: Stores) -> Program:
    """The server, in one process: it comes with four workers and a job runner otherwise."""
    socket = str(home.socket(NAME))
    artifacts = f"s3://{stores.s3_bucket}/{NAME}"
    return Program(
        name=NAME,
        wave=REGISTRY,
        command=(
            *(sys.executable, "-m", "stack.stores.mlflow_server"),
            *(socket, stores.mlflow_uri, artifacts),
        ),
        environment={
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            # Envoy checks the host as well. Each form of a host, with and without a port.
            "MLFLOW_SERVER_ALLOWED_HOSTS": "localhost,localhost:*,127.0.0.1,127.0.0.1:*",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
            **artifacts_environment(stores),
        },
        probes=(Probe("http", "http://localhost/health", socket=socket, waiting=FIRST_WORDS),),
        ready_within_s=300,
        stop_within_s=20,
    )


def artifacts_environment(stores: Stores) -> dict[str, str]:
    """How MLflow's code, the server's and its clients', comes to the artifacts of its runs."""
    return {
        "MLFLOW_S3_ENDPOINT_URL": stores.s3_endpoint,
        "AWS_SHARED_CREDENTIALS_FILE": stores.s3_credentials_file,
        "AWS_DEFAULT_REGION": stores.s3_region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
    }
