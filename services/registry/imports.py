"""The table of imports. How a folder becomes a version is not known here."""

from dataclasses import asdict

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry.model import Import, ImportState
from services.registry.rows import to_import
from services.registry.tables import IMPORTS

PROGRESS = ("state", "stage", "fraction", "message", "reason", "number")


async def insert(tx: AsyncConnection, row: Import) -> None:
    """Adds an import."""
    await tx.execute(IMPORTS.insert().values(asdict(row)))


async def find(tx: AsyncConnection, import_id: str) -> Import | None:
    """Finds an import by its id."""
    found = await tx.execute(sa.select(IMPORTS).where(IMPORTS.c.id == import_id))
    row = found.mappings().one_or_none()
    return None if row is None else to_import(row)


async def list_running(tx: AsyncConnection) -> list[Import]:
    """Lists the imports that are at work or wait for their turn, oldest first."""
    asked = sa.select(IMPORTS).where(IMPORTS.c.state == ImportState.RUNNING)
    found = await tx.execute(asked.order_by(IMPORTS.c.create_time, IMPORTS.c.id))
    return [to_import(row) for row in found.mappings()]


async def update(tx: AsyncConnection, row: Import) -> None:
    """Writes how far an import has come."""
    values = {name: getattr(row, name) for name in PROGRESS}
    await tx.execute(IMPORTS.update().where(IMPORTS.c.id == row.id).values(values))
