"""What holds for a service's database whatever its tables are."""

import asyncio
from contextlib import suppress

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.contract.registry.conftest import store_at
from tests.contract.registry.worlds import WAIT_S
from tests.fakes.postgres import TEMPLATE, Postgres


async def until_unconnected(postgres: Postgres, database_uri: str) -> None:
    """The server's side of a connection ends a moment after ours."""
    count = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
    async with asyncio.timeout(WAIT_S):
        with postgres.connect(TEMPLATE) as other:
            name = sa.make_url(database_uri).database
            while other.execute(count, [name]).fetchone() != (0,):  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("turns", [0, 1, 3])
async def test_a_closed_store_has_no_connection(postgres: Postgres, database_uri: str, turns: int):
    """Nor has work that was given up just before, however far it is with that."""
    store = store_at(database_uri)
    await store.open()
    begun = asyncio.Event()

    async def sleep(tx: AsyncConnection) -> None:
        begun.set()
        await tx.execute(sa.text("SELECT pg_sleep(60)"))

    task = asyncio.create_task(store.run(sleep, WAIT_S))
    await begun.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    for _ in range(turns):
        await asyncio.sleep(0)
    await store.close()
    await until_unconnected(postgres, database_uri)


async def test_what_is_at_work_is_waited_for(postgres: Postgres, database_uri: str):
    """And its connection closed with the others."""
    store = store_at(database_uri)
    await store.open()
    begun, ends = asyncio.Event(), asyncio.Event()

    async def wait(tx: AsyncConnection) -> int:
        begun.set()
        await ends.wait()
        return (await tx.execute(sa.text("SELECT 1"))).scalar_one()

    working = asyncio.create_task(store.run(wait))
    await begun.wait()
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    ends.set()
    await closing
    assert await working == 1
    await until_unconnected(postgres, database_uri)
