"""What was done, in the order in which it was done.

An entry is written in the transaction of the change itself, and its number is the revision of the
state that it made: who wants to know what led to revision 12 reads entry 12.
"""

from dataclasses import asdict

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry.model import Act, AuditEntry
from services.registry.rows import to_audit_entry
from services.registry.tables import AUDIT, REVISION

# Acts that change which versions answer.
DEPLOYING = ("promote", "approve", "rollback", "traffic", "canary", "step")


async def record(tx: AsyncConnection, act: Act) -> int:
    """Writes down what this transaction does; returns the revision that it makes.

    Holds up every other change until the transaction ends, so that numbers have no gaps and are
    seen in their order: do it last.
    """
    step = REVISION.update().values(value=REVISION.c.value + 1).returning(REVISION.c.value)
    revision: int = (await tx.execute(step)).scalar_one()
    await tx.execute(AUDIT.insert().values(id=revision, **asdict(act)))
    return revision


async def read_revision(tx: AsyncConnection, *, hold: bool = False) -> int:
    """Reads the newest revision. With `hold`, no change is committed until the transaction ends,
    so that what it reads next is the state of that revision."""
    asked = sa.select(REVISION.c.value)
    found = await tx.execute(asked.with_for_update(read=True) if hold else asked)
    value: int = found.scalar_one()
    return value


async def list_entries(
    tx: AsyncConnection, model: str, before: int | None, count: int
) -> list[AuditEntry]:
    """Lists entries, newest first: of one model or of all, below the number `before`."""
    asked = sa.select(AUDIT).order_by(AUDIT.c.id.desc()).limit(count)
    if model:
        asked = asked.where(AUDIT.c.model == model)
    if before is not None:
        asked = asked.where(AUDIT.c.id < before)
    return [to_audit_entry(row) for row in (await tx.execute(asked)).mappings()]


async def find_deployment(tx: AsyncConnection, model: str, revision: int) -> AuditEntry | None:
    """Finds what made a model's versions answer as they did at a revision."""
    asked = sa.select(AUDIT).where(
        AUDIT.c.model == model, AUDIT.c.id <= revision, AUDIT.c.action.in_(DEPLOYING)
    )
    found = await tx.execute(asked.order_by(AUDIT.c.id.desc()).limit(1))
    row = found.mappings().one_or_none()
    return None if row is None else to_audit_entry(row)
