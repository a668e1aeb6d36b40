"""The real Feedback service, over gRPC, on real stores."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.jobs.data import database
from services.rpc.store import Store
from tests.contract.feedback.worlds import STORE_TIMEOUT_S, World, open_world
from tests.contract.registry import conftest as registry
from tests.contract.registry import worlds as registry_worlds
from tests.fakes.mlflow import FakeMlflow
from tests.fakes.postgres import Postgres, fresh, migrated
from tests.integration.s3 import conftest as s3
from tests.integration.s3 import servers


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server, with a database in which the registry and feedback have their tables."""
    with migrated(registry.store_at, store_at) as server:
        yield server


def store_at(uri: str) -> Store:
    """The table of feedback, behind a URI."""
    return database.open_store(uri, STORE_TIMEOUT_S)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    """An object store for all tests."""
    with s3.running(s3.rclone(), tmp_path_factory.mktemp("s3") / "home") as server:
        yield server


@pytest.fixture
def database_uri(postgres: Postgres) -> str:
    """A database of a test's own."""
    return fresh(postgres)


@pytest.fixture
def socket_folder() -> Iterator[Path]:
    """A folder with a short path."""
    with tempfile.TemporaryDirectory(prefix="f-") as folder:
        yield Path(folder)


@pytest.fixture
async def registry_world(
    socket_folder: Path, database_uri: str
) -> AsyncIterator[registry_worlds.World]:
    """A registry with a small MLflow."""
    async with (
        registry.running(FakeMlflow(), socket_folder / "m.sock") as mlflow,
        registry_worlds.open_world(socket_folder, database_uri, mlflow) as world,
    ):
        yield world


@pytest.fixture
async def world(
    socket_folder: Path,
    database_uri: str,
    registry_world: registry_worlds.World,
    s3_server: servers.Server,
) -> AsyncIterator[World]:
    """A service that is ready."""
    async with open_world(socket_folder, database_uri, registry_world, s3_server) as world:
        yield world
