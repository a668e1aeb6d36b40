"""A change is made once for each request id, however often and at how many places it is asked for.

The id is taken in the transaction of the change: a repeat waits for the first to end, and gets its
answer. A change that was refused leaves nothing, so that it may be asked for again.
"""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry.tables import REQUESTS
from services.rpc.errors import AlreadyExists


async def begin(tx: AsyncConnection, request_id: str, fingerprint: str) -> bytes | None:
    """Takes a request id; returns the first answer where it was taken before.

    Raises AlreadyExists when the first request had other fields.
    """
    new = insert(REQUESTS).values(id=request_id, fingerprint=fingerprint)
    taken = await tx.execute(new.on_conflict_do_nothing().returning(REQUESTS.c.id))
    if taken.one_or_none() is not None:
        return None
    asked = sa.select(REQUESTS.c.fingerprint, REQUESTS.c.answer)
    first = (await tx.execute(asked.where(REQUESTS.c.id == request_id))).one()
    if first.fingerprint != fingerprint:
        raise AlreadyExists(
            "This request_id belongs to a request with other fields. Make a new one.",
            reason="REQUEST_ID_TAKEN",
            metadata={"request_id": request_id},
        )
    answer: bytes = first.answer
    return answer


async def finish(tx: AsyncConnection, request_id: str, answer: bytes) -> None:
    """Keeps the answer for repeats."""
    await tx.execute(REQUESTS.update().where(REQUESTS.c.id == request_id).values(answer=answer))
