"""A registry may die between any two steps: what it began is then ended once, and only once."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from parley.registry.v1 import registry_pb2 as pb

from services.registry.failpoints import EXIT_FAILED, Point
from tests.contract.registry.conftest import store_at
from tests.fakes.mlflow import FakeMlflow
from tests.fakes.postgres import Postgres, migrate
from tests.integration.registry.processes import WAIT_S, Client, Processes

pytestmark = pytest.mark.slow

MODEL = "m"
REGISTERING = [
    Point.REGISTER_BEGUN,
    Point.RUN_CREATED,
    Point.RUN_LOGGED,
    Point.MODEL_CREATED,
    Point.VERSION_CREATED,
    Point.VERSION_READY_UNCOMMITTED,
    Point.VERSION_READY,
]
PROMOTING = [Point.PROMOTE_UNCOMMITTED, Point.PROMOTE_COMMITTED, Point.ALIAS_SET]


def import_request(folder: str = "/models/x") -> pb.ImportModelRequest:
    """Asks for an import."""
    evidence = pb.Evidence(metrics={"accuracy": 0.5})
    return pb.ImportModelRequest(
        model=MODEL, local_folder=folder, evidence=evidence, request_id=str(uuid4())
    )


async def until_done(client: Client, import_id: str) -> int:
    """Waits for an import; gives the version's number."""
    async with asyncio.timeout(WAIT_S):
        while True:
            found: Any = await client.ask("GetImport", pb.GetImportRequest(id=import_id))
            if getattr(found, "import").state == pb.IMPORT_STATE_DONE:
                return getattr(found, "import").number
            await asyncio.sleep(0.05)


async def made(client: Client, folder: str = "/models/x") -> int:
    """Imports; gives the version's number."""
    request = import_request(folder)
    await client.ask("ImportModel", request)
    return await until_done(client, request.request_id)


async def actions(client: Client) -> list[str]:
    """What was done, oldest first."""
    answer = await client.ask("ListAuditEntries", pb.ListAuditEntriesRequest())
    return [entry.action for entry in reversed(answer.entries)]


@pytest.mark.parametrize("point", REGISTERING)
async def test_a_death_while_registering(
    processes: Processes, fake_mlflow: FakeMlflow, point: Point
):
    """The next process ends the import: one version, one run, one entry, no empty model."""
    request = import_request()
    async with processes.running(fail_at=point) as client:
        await client.ask("ImportModel", request)
        assert await client.died() == EXIT_FAILED
    async with processes.running() as client:
        assert await until_done(client, request.request_id) == 1
        assert await made(client) == 1
        assert await actions(client) == ["register"]
    (run,) = fake_mlflow.runs.values()
    assert (run["info"]["status"], run["metrics"]) == ("FINISHED", {"accuracy": 0.5})
    assert {name: list(model.versions) for name, model in fake_mlflow.models.items()} == {
        MODEL: ["1"]
    }


@pytest.mark.parametrize("point", PROMOTING)
async def test_a_death_while_promoting(processes: Processes, fake_mlflow: FakeMlflow, point: Point):
    """A repeat gives one promotion, and what is read back is what was asked for."""
    async with processes.running() as client:
        number = await made(client)
    request = pb.PromoteModelVersionRequest(
        model=MODEL, number=number, expected_champion=0, request_id=str(uuid4())
    )
    async with processes.running(fail_at=point) as client:
        assert await client.ask("PromoteModelVersion", request) is None
        assert await client.died() == EXIT_FAILED
    async with processes.running() as client:
        answer: Any = await client.ask("PromoteModelVersion", request)
        assert answer.promotion.state == pb.PROMOTION_STATE_DONE
        model: Any = await client.ask("GetModel", pb.GetModelRequest(name=MODEL))
        assert model.model.champion == number
        assert fake_mlflow.models[MODEL].aliases == {"champion": str(number)}
        assert await actions(client) == ["register", "promote"]


async def test_a_death_between_row_and_alias_is_mended(
    processes: Processes, fake_mlflow: FakeMlflow
):
    """Without a repeat, one comparison sets the alias."""
    async with processes.running(fail_at=Point.PROMOTE_COMMITTED) as client:
        number = await made(client)
        request = pb.PromoteModelVersionRequest(model=MODEL, number=number, request_id=str(uuid4()))
        assert await client.ask("PromoteModelVersion", request) is None
    assert fake_mlflow.models[MODEL].aliases == {}
    async with processes.running() as client:
        answer: Any = await client.ask("Reconcile", pb.ReconcileRequest())
        assert [(one.kind, one.mended) for one in answer.drifts] == [("ALIAS_REMOVED", True)]
    assert fake_mlflow.models[MODEL].aliases == {"champion": str(number)}


async def test_a_death_while_deleting_is_mended(processes: Processes, fake_mlflow: FakeMlflow):
    """What is deleted here is deleted in MLflow by the next comparison."""
    async with processes.running(fail_at=Point.DELETE_COMMITTED) as client:
        number = await made(client)
        request = pb.DeleteModelVersionRequest(model=MODEL, number=number, request_id=str(uuid4()))
        assert await client.ask("DeleteModelVersion", request) is None
    assert list(fake_mlflow.models[MODEL].versions) == [str(number)]
    async with processes.running() as client:
        await client.ask("Reconcile", pb.ReconcileRequest())
    assert fake_mlflow.models[MODEL].versions == {}


async def test_a_death_while_migrating(postgres: Postgres, processes: Processes):
    """Half a migration leaves nothing, and the next process makes the whole of it."""
    name = f"t_{uuid4().hex[:8]}"
    postgres.create(name)
    processes.database_uri = postgres.uri(name)
    async with processes.running(fail_at=Point.MIGRATION_UNCOMMITTED) as client:
        assert await client.died() == EXIT_FAILED
    with postgres.connect(name) as connection:
        assert connection.execute("SELECT to_regclass('models')").fetchone() == (None,)
    async with processes.running() as client:
        assert await made(client) == 1
    await migrate(store_at(postgres.uri(name)))
