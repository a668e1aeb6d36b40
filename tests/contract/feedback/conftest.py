"""The real Feedback service, over gRPC, on real stores."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from services.jobs.data import database
from tests.contract.feedback.worlds import STORE_TIMEOUT_S, World, open_world
from tests.contract.registry import conftest as registry
from tests.contract.registry import worlds as registry_worlds
from tests.fakes.mlflow import FakeMlflow
from tests.fakes.postgres import Postgres
from tests.integration.s3 import conftest as s3
from tests.integration.s3 import servers

TEMPLATE = "migrated"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server, with a database in which the registry and feedback have their tables."""
    # Not in pytest's folder: a unix socket's path must be short.
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        server = Postgres(Path(folder))
        server.start()
        server.create(TEMPLATE)
        asyncio.run(registry.migrate(server.uri(TEMPLATE)))
        asyncio.run(migrate(server.uri(TEMPLATE)))
        yield server
        server.stop()


async def migrate(uri: str) -> None:
    """Makes the table of feedback."""
    store = database.open_store(uri, STORE_TIMEOUT_S)
    await store.open()
    await store.close()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    """An object store for all tests."""
    with s3.running(s3.rclone(), tmp_path_factory.mktemp("s3") / "home") as server:
        yield server


@pytest.fixture
def database_uri(postgres: Postgres) -> str:
    """A database of a test's own."""
    name = f"t_{uuid4().hex[:8]}"
    postgres.create(name, TEMPLATE)
    return postgres.uri(name)


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
