"""Registry processes on a real PostgreSQL, beside the small MLflow."""

from pathlib import Path

import pytest

from tests.contract.registry.conftest import (
    database_uri,
    fake_mlflow,
    mlflow_address,
    postgres,
    socket_folder,
    world,
)
from tests.integration.registry.processes import Processes

__all__ = [
    "database_uri",
    "fake_mlflow",
    "mlflow_address",
    "postgres",
    "socket_folder",
    "world",
]


@pytest.fixture
def processes(socket_folder: Path, database_uri: str, mlflow_address: str) -> Processes:
    """Starts registries."""
    return Processes(socket_folder, database_uri, mlflow_address)
