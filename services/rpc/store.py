"""PostgreSQL behind a deadline: work runs in one transaction, or the caller hears UNAVAILABLE.

Brings a service's tables up to date as it starts. A dead or frozen server is noticed within
`deadline_s` and needs no restart of ours: each connection is tried before it is used, and new ones
are made as soon as the server takes them. Knows no table.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa
import structlog
from alembic import command
from alembic.config import Config
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from services.rpc.errors import Unavailable

log = structlog.get_logger()
T = TypeVar("T")

# Any number that no one else on this database takes: "parley" in hexadecimal digits of ASCII.
MIGRATION_LOCK = 0x7061726C6579
CONNECTIONS_MAX = 8
MIGRATION_DEADLINE_S = 120.0
RETRY_S = 1.0
CLOSE_POLL_S = 0.01


class Store:
    """Transactions on one database.

    `deadline_s` bounds the wait for a connection and the work. `migrations` is the folder of
    Alembic's that makes the tables; `before_commit` is called when they are made. With `schema`
    they are in that schema, which is made, and so is Alembic's own table.
    """

    def __init__(
        self,
        uri: str,
        deadline_s: float,
        migrations: Path,
        *,
        schema: str = "",
        before_commit: Callable[[], None] = lambda: None,
    ) -> None:
        self._deadline_s = deadline_s
        self._migrations = migrations
        self._schema = schema
        self._before_commit = before_commit
        self.opened = asyncio.Event()
        self._abandoned: set[asyncio.Task[Any]] = set()
        self._engine = create_async_engine(
            uri,
            pool_size=CONNECTIONS_MAX,
            max_overflow=0,
            pool_timeout=deadline_s,
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": max(2, round(deadline_s)),
                "options": f"-c statement_timeout={round(deadline_s * 1000)}"
                " -c idle_in_transaction_session_timeout=60000",
            },
        )

    async def run(
        self, work: Callable[[AsyncConnection], Awaitable[T]], deadline_s: float | None = None
    ) -> T:
        """Runs `work` in one transaction, which is committed when it returns.

        `deadline_s`, by default the store's own, bounds the whole of it. Raises Unavailable when
        the database is away or too slow, and whatever `work` raises.
        """
        if not self.opened.is_set():
            raise _unavailable("The service's database is not ready yet.")
        deadline_s = deadline_s or self._deadline_s
        return await self._bounded(self._transact(work, deadline_s), deadline_s)

    async def open(self) -> None:
        """Brings the tables up to date, however often it takes; cancel-safe.

        Processes that start at the same time wait for each other. One that dies leaves nothing.
        """
        while not self.opened.is_set():
            try:
                await self._bounded(self._migrate(), MIGRATION_DEADLINE_S)
                self.opened.set()
            except Unavailable:
                log.warning("no database yet")
                await asyncio.sleep(RETRY_S)

    async def close(self) -> None:
        """Closes every connection; waits for those in use, at most `deadline_s`.

        One that came back later would stay open until the collector finds it.
        """
        end_s = time.monotonic() + self._deadline_s
        # The pool tells nobody.
        while self._engine.pool.checkedout() and time.monotonic() < end_s:  # noqa: ASYNC110
            await asyncio.sleep(CLOSE_POLL_S)
        await self._engine.dispose()

    async def _transact(
        self, work: Callable[[AsyncConnection], Awaitable[T]], deadline_s: float
    ) -> T:
        async with self._engine.begin() as tx:
            if deadline_s != self._deadline_s:
                await _set_timeout(tx, deadline_s)
            return await work(tx)

    async def _migrate(self) -> None:
        async with self._engine.begin() as tx:
            await _set_timeout(tx, MIGRATION_DEADLINE_S)
            await tx.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
            if self._schema:
                await tx.execute(sa.schema.CreateSchema(self._schema, if_not_exists=True))
            await tx.run_sync(_upgrade, self._migrations)
            self._before_commit()

    async def _bounded(self, work: Awaitable[T], deadline_s: float) -> T:
        """Waits no longer than `deadline_s`, even for work that is slow to be cancelled: telling a
        frozen server to stop takes psycopg seconds of its own."""
        task = asyncio.ensure_future(work)
        try:
            done, _ = await asyncio.wait({task}, timeout=deadline_s)
        finally:
            if not task.done():
                self._abandon(task)
        if not done:
            raise _unavailable("The service's database did not answer in time.")
        try:
            return task.result()
        except (sa.exc.DBAPIError, sa.exc.TimeoutError, psycopg.OperationalError, OSError) as error:
            if _is_ours(error):
                raise
            log.warning("database away", error=str(error).splitlines()[0])
            raise _unavailable("The service's database does not answer.") from error

    def _abandon(self, task: asyncio.Task[Any]) -> None:
        self._abandoned.add(task)
        task.add_done_callback(self._forget)
        task.cancel()

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._abandoned.discard(task)
        if not task.cancelled():
            task.exception()  # Looked at, so that nobody warns of it.


async def _set_timeout(tx: AsyncConnection, timeout_s: float) -> None:
    await tx.execute(sa.text(f"SET LOCAL statement_timeout = {round(timeout_s * 1000)}"))


def _upgrade(connection: sa.Connection, migrations: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _is_ours(error: Exception) -> bool:
    """Whether the database was there and our statement was wrong."""
    return (
        isinstance(error, sa.exc.DBAPIError)
        and not isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError)
        and not error.connection_invalidated
    )


def _unavailable(words: str) -> Unavailable:
    return Unavailable(f"{words} Ask again.", reason="DATABASE_UNAVAILABLE", retry_after_s=1)
