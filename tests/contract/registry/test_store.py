"""What holds for a service's database whatever its tables are."""

import asyncio
from contextlib import suppress

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.contract.registry.conftest import store_at
from tests.contract.registry.worlds import WAIT_S
from tests.fakes.postgres import TEMPLATE, Postgres


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
    count = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
    async with asyncio.timeout(WAIT_S):
        with postgres.connect(TEMPLATE) as other:
            # The server's side of a connection ends a moment after ours.
            while other.execute(count, [sa.make_url(database_uri).database]).fetchone() != (0,):
                other.rollback()
                await asyncio.sleep(0.02)
