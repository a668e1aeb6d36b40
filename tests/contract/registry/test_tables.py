"""The tables: migrations make what the code expects, and the audit cannot be rewritten."""

import asyncio
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from services.registry.tables import METADATA
from tests.contract.registry.conftest import store_at
from tests.contract.registry.worlds import World
from tests.fakes.postgres import TEMPLATE, Postgres, migrate


def test_migrations_make_the_tables_of_the_code(postgres: Postgres):
    """No column, index or type differs."""
    engine = sa.create_engine(postgres.uri(TEMPLATE))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, METADATA)
    engine.dispose()
    assert differences == []


def test_processes_that_start_together_migrate_once(postgres: Postgres):
    """The second waits for the first, and finds the work done."""
    name = f"t_{uuid4().hex[:8]}"
    postgres.create(name)

    async def both() -> None:
        await asyncio.gather(*(migrate(store_at(postgres.uri(name))) for _ in range(3)))

    asyncio.run(both())
    with postgres.connect(name) as connection:
        assert connection.execute("SELECT value FROM revision").fetchall() == [(0,)]


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit SET principal = 'eve'", "DELETE FROM audit", "TRUNCATE audit"],
)
async def test_the_audit_is_append_only(
    world: World, postgres: Postgres, database_uri: str, statement: str
):
    """Not even who holds the database's key changes what was done by accident."""
    await world.register()
    name = sa.make_url(database_uri).database
    with postgres.connect(name) as connection, pytest.raises(psycopg.errors.RaiseException):
        connection.execute(statement)
    assert len(await world.audit()) == 1
