"""Evaluations in the tables: what was measured of a version after it was registered.

A version keeps the newest ones; what a new one takes the place of stays in the audit.
"""

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry.model import Evaluation, VersionState
from services.registry.tables import EVALUATIONS, VERSIONS

KEPT_MAX = 32

_FIELDS = ("evaluation_digest", "metrics", "time", "recorded_by")
_OF_VERSION = sa.and_(
    EVALUATIONS.c.model == VERSIONS.c.model, EVALUATIONS.c.number == VERSIONS.c.number
)
_OBJECT = sa.func.jsonb_build_object(
    *(part for name in _FIELDS for part in (sa.literal_column(f"'{name}'"), EVALUATIONS.c[name]))
)

OF_VERSION = (
    sa.select(
        sa.func.jsonb_agg(
            aggregate_order_by(_OBJECT, EVALUATIONS.c.time.desc(), EVALUATIONS.c.evaluation_digest)
        )
    )
    .where(_OF_VERSION)
    .correlate(VERSIONS)
    .scalar_subquery()
    .label("evaluations")
)
"""The evaluations of each version that a statement selects, newest first; NULL for none."""


async def find_metrics(
    tx: AsyncConnection, model: str, number: int, digest: str
) -> Mapping[str, float]:
    """Finds what was recorded of a version on one dataset; empty when nothing was."""
    asked = sa.select(EVALUATIONS.c.metrics).where(*_key(model, number, digest))
    found: Mapping[str, float] = (await tx.execute(asked)).scalar_one_or_none() or {}
    return found


async def list_recorded(tx: AsyncConnection, model: str) -> list[tuple[int, Evaluation]]:
    """Lists all that is recorded of a model's versions that can be used, with their numbers."""
    asked = sa.select(EVALUATIONS).join(VERSIONS, _OF_VERSION)
    asked = asked.where(VERSIONS.c.model == model, VERSIONS.c.state == VersionState.READY)
    rows = (await tx.execute(asked)).mappings()
    return [(row["number"], Evaluation(**{one: row[one] for one in _FIELDS})) for row in rows]


async def save(tx: AsyncConnection, model: str, number: int, evaluation: Evaluation) -> None:
    """Writes an evaluation in the place of an older one of the same dataset; forgets the oldest."""
    keys = {"model": model, "number": number, "evaluation_digest": evaluation.evaluation_digest}
    rest = {
        "metrics": dict(evaluation.metrics),
        "time": sa.func.now(),
        "recorded_by": evaluation.recorded_by,
    }
    new = insert(EVALUATIONS).values(keys | rest)
    await tx.execute(new.on_conflict_do_update(index_elements=list(keys), set_=rest))
    mine = (EVALUATIONS.c.model == model, EVALUATIONS.c.number == number)
    newest = sa.select(EVALUATIONS.c.evaluation_digest).where(*mine)
    newest = newest.order_by(EVALUATIONS.c.time.desc(), EVALUATIONS.c.evaluation_digest)
    kept = newest.limit(KEPT_MAX)
    older = EVALUATIONS.c.evaluation_digest.not_in(kept)
    await tx.execute(EVALUATIONS.delete().where(*mine, older))


def _key(model: str, number: int, digest: str) -> tuple[sa.ColumnElement[bool], ...]:
    columns = EVALUATIONS.c
    return (
        columns.model == model,
        columns.number == number,
        columns.evaluation_digest == digest,
    )
