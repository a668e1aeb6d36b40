"""The real registry on a real PostgreSQL, with a small MLflow that keeps MLflow's rules."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn

from services.registry.database import open_store
from services.rpc.store import Store
from tests.contract.registry.worlds import STORE_TIMEOUT_S, WAIT_S, World, open_world
from tests.fakes.mlflow import FakeMlflow
from tests.fakes.postgres import Postgres, fresh, migrated


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server, with a database whose tables are made."""
    with migrated(store_at) as server:
        yield server


def store_at(uri: str) -> Store:
    """The tables, behind a URI."""
    return open_store(uri, STORE_TIMEOUT_S)


@pytest.fixture
def database_uri(postgres: Postgres) -> str:
    """A database of a test's own."""
    return fresh(postgres)


@pytest.fixture
def socket_folder() -> Iterator[Path]:
    """A folder with a short path."""
    with tempfile.TemporaryDirectory(prefix="r-") as folder:
        yield Path(folder)


@asynccontextmanager
async def running(fake: FakeMlflow, socket: Path) -> AsyncIterator[str]:
    """Serves a fake on a unix socket; gives its address."""
    config = uvicorn.Config(fake.app(), uds=str(socket), log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(WAIT_S):
        while not server.started:  # noqa: ASYNC110 (uvicorn tells nobody)
            await asyncio.sleep(0.01)
    yield f"unix:{socket}"
    server.should_exit = True
    await task


@pytest.fixture
async def fake_mlflow() -> FakeMlflow:
    """The small MLflow's state."""
    return FakeMlflow()


@pytest.fixture
async def mlflow_address(fake_mlflow: FakeMlflow, socket_folder: Path) -> AsyncIterator[str]:
    """The small MLflow, served."""
    async with running(fake_mlflow, socket_folder / "m.sock") as address:
        yield address


@pytest.fixture
async def world(
    socket_folder: Path, database_uri: str, mlflow_address: str
) -> AsyncIterator[World]:
    """A registry that is ready."""
    async with open_world(socket_folder, database_uri, mlflow_address) as world:
        yield world
