"""The real jobs service on a real PostgreSQL, with a small Airflow, MLflow and registry."""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from parley.registry.v1 import registry_pb2_grpc

from services.jobs import reading
from services.jobs.database import open_store
from services.rpc.server import Server
from services.rpc.settings import ServerSettings
from services.rpc.store import Store
from tests.contract.jobs.worlds import STORE_TIMEOUT_S, WAIT_S, Around, World, open_world
from tests.fakes.airflow import FakeAirflow
from tests.fakes.mlflow import FakeMlflow
from tests.fakes.postgres import Postgres, fresh, migrated
from tests.fakes.registry_service import NAME, FakeRegistry


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
def folder() -> Iterator[Path]:
    """A folder with a short path."""
    with tempfile.TemporaryDirectory(prefix="j-") as folder:
        yield Path(folder)


@asynccontextmanager
async def served(app: Any, **where: Any) -> AsyncIterator[uvicorn.Server]:
    """Serves a fake."""
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", **where))
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(WAIT_S):
        while not server.started:  # noqa: ASYNC110 (uvicorn tells nobody)
            await asyncio.sleep(0.01)
    yield server
    server.should_exit = True
    await task


@pytest.fixture
async def around(
    folder: Path, database_uri: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Around]:
    """All that a jobs service asks, running."""
    monkeypatch.setattr(reading, "COMMAND", (sys.executable, "-m", "tests.fakes.check_data"))
    airflow, mlflow, registry = FakeAirflow(), FakeMlflow(), FakeRegistry()
    registry.add_version("parley-starter").aliases.append("champion")
    settings = ServerSettings(address=f"unix:{folder}/r.sock", health_interval_s=0)
    server = Server(settings, [NAME])
    registry_pb2_grpc.add_RegistryServicer_to_server(registry, server.grpc)
    await server.start()
    async with (
        served(airflow.app(), host="127.0.0.1", port=0) as listening,
        served(mlflow.app(), uds=str(folder / "m.sock")),
    ):
        port = listening.servers[0].sockets[0].getsockname()[1]
        yield Around(folder, database_uri, f"http://127.0.0.1:{port}", airflow, mlflow, registry)
    await server.grpc.stop(0)


@pytest.fixture
async def world(around: Around) -> AsyncIterator[World]:
    """A jobs service that is ready."""
    async with open_world(around) as world:
        yield world
