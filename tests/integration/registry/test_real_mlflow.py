"""The registry's contract once more, on MLflow itself over PostgreSQL and an object store.

What the small MLflow of the other tests pretends, this one does.
"""

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from stack.environment.places import ROOT
from stack.home import Home
from stack.stores import mlflow
from stack.stores.where import REGION, Stores
from tests.contract.registry import (
    test_evaluations,
    test_promotion,
    test_reconciler,
    test_registering,
)
from tests.fakes.postgres import Postgres
from tests.integration.s3.conftest import rclone, running
from tests.integration.s3.servers import BUCKET

pytestmark = pytest.mark.slow

START_S = 120.0
STOP_S = 30.0
SUITES = (test_evaluations, test_promotion, test_reconciler, test_registering)
# One tells the small MLflow to be away; MLflow has no part in the others.
LEFT_OUT = {
    "test_mlflow_away_loses_no_evaluation",
    "test_versions_with_much_to_tell_come_in_smaller_pages",
    "test_what_is_no_evaluation_is_refused",
}

champion = test_reconciler.champion
globals().update(
    {
        name: claim
        for suite in SUITES
        for name, claim in vars(suite).items()
        if name.startswith("test_") and name not in LEFT_OUT
    }
)


@pytest.fixture(scope="session")
def real_mlflow(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server as the stack starts it; gives its address."""
    postgres.create("mlflow")
    objects = tmp_path_factory.mktemp("objects") / "home"
    # Not in pytest's folder: a unix socket's path must be short.
    with tempfile.TemporaryDirectory(prefix="ml-") as folder, running(rclone(), objects) as s3:
        home = Home(Path(folder))
        home.prepare()
        stores = Stores(
            parley_uri="",
            mlflow_uri=postgres.uri("mlflow"),
            s3_endpoint=s3.endpoint,
            s3_region=REGION,
            s3_bucket=BUCKET,
            s3_credentials_file=str(s3.credentials_file),
            mlflow_address="",
        )
        program = mlflow.program(home, stores)
        environment = {"PATH": os.defpath, "HOME": folder, **program.environment}
        with Path(folder, "log").open("ab") as log:
            server = subprocess.Popen(
                program.command, cwd=ROOT, env=environment, stdout=log, stderr=log
            )
        try:
            until_it_answers(server, home.socket(mlflow.NAME), Path(folder, "log"))
            yield f"unix:{home.socket(mlflow.NAME)}"
        finally:
            server.terminate()
            server.wait(STOP_S)


def until_it_answers(server: subprocess.Popen[bytes], path: Path, log: Path) -> None:
    """Waits until MLflow has made its tables and listens, and answers."""
    end = time.monotonic() + START_S
    while not listens(path):
        assert server.poll() is None and time.monotonic() < end, log.read_text()
        time.sleep(0.1)
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), timeout=START_S) as client:
        client.get("http://localhost/health").raise_for_status()


def listens(path: Path) -> bool:
    """Whether somebody takes connections; httpx would leave a refused one open."""
    with socket.socket(socket.AF_UNIX) as tried:
        return tried.connect_ex(str(path)) == 0


@pytest.fixture
def mlflow_address(real_mlflow: str) -> str:
    """The real one, in place of the small one."""
    return real_mlflow
