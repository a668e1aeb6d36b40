"""Models, versions and promotions in the tables: finding, listing, changing.

Each function is one or two statements of a transaction. What may be changed, and why, is decided
elsewhere.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry import evaluations
from services.registry.model import Model, Policy, Promotion, PromotionState, Version, VersionState
from services.registry.rows import from_policy, from_traffic, to_model, to_promotion, to_version
from services.registry.tables import MODELS, PROMOTIONS, VERSIONS
from services.rpc.errors import NotFound

LINEAGE_MAX = 1000


async def ensure_model(tx: AsyncConnection, name: str) -> None:
    """Makes a model when there is none of that name."""
    new = {"policy": from_policy(Policy()), "champion": 0, "predecessor": 0}
    values = {"name": name, "traffic": from_traffic(Model(name).traffic), **new}
    await tx.execute(insert(MODELS).values(values).on_conflict_do_nothing())


async def get_model(tx: AsyncConnection, name: str, *, lock: bool = False) -> Model:
    """Gets a model. With `lock`, nobody else can change it until the transaction ends.

    Raises NotFound.
    """
    asked = sa.select(MODELS).where(MODELS.c.name == name)
    found = await tx.execute(asked.with_for_update() if lock else asked)
    row = found.mappings().one_or_none()
    if row is None:
        raise NotFound(
            f"There is no model {name!r}. Import a version of it first.",
            reason="MODEL_NOT_FOUND",
            metadata={"model": name},
        )
    return to_model(row)


async def find_free_model(tx: AsyncConnection, name: str) -> Model | None:
    """Gets a model and locks it as `get_model` does, unless somebody else has it locked."""
    asked = sa.select(MODELS).where(MODELS.c.name == name).with_for_update(skip_locked=True)
    row = (await tx.execute(asked)).mappings().one_or_none()
    return None if row is None else to_model(row)


async def list_models(tx: AsyncConnection, after: str, count: int) -> list[Model]:
    """Lists models by name, from the one behind `after`."""
    asked = sa.select(MODELS).where(MODELS.c.name > after).order_by(MODELS.c.name).limit(count)
    return [to_model(row) for row in (await tx.execute(asked)).mappings()]


async def save_model(tx: AsyncConnection, model: Model) -> None:
    """Writes a model's rules, champion, traffic and drift."""
    values = {
        "policy": from_policy(model.policy),
        "champion": model.champion,
        "predecessor": model.predecessor,
        "traffic": from_traffic(model.traffic),
        "drift": model.drift,
    }
    await tx.execute(MODELS.update().where(MODELS.c.name == model.name).values(values))


async def find_version(tx: AsyncConnection, model: str, number: int) -> Version | None:
    """Finds a version by its number, deleted ones too."""
    found = await _versions(tx, VERSIONS.c.model == model, VERSIONS.c.number == number)
    return found[0] if found else None


async def get_version(tx: AsyncConnection, model: str, number: int) -> Version:
    """Gets a version by its number, deleted ones too. Raises NotFound."""
    version = await find_version(tx, model, number)
    if version is None:
        raise version_not_found(model, str(number))
    return version


async def find_by_digest(tx: AsyncConnection, model: str, digits: str) -> Version | None:
    """Finds the newest version whose digest begins with `digits`."""
    found = await _versions(
        tx,
        VERSIONS.c.model == model,
        VERSIONS.c.digest.startswith(digits),
        VERSIONS.c.state == VersionState.READY,
        count=1,
    )
    return found[0] if found else None


async def list_versions(
    tx: AsyncConnection, model: str, before: int | None, count: int
) -> list[Version]:
    """Lists a model's versions that can be used, newest first, below the number `before`."""
    wanted = [VERSIONS.c.model == model, VERSIONS.c.state == VersionState.READY]
    if before is not None:
        wanted.append(VERSIONS.c.number < before)
    return await _versions(tx, *wanted, count=count)


async def list_states(tx: AsyncConnection, model: str) -> tuple[dict[int, VersionState], set[str]]:
    """Lists the state of each of a model's versions by number, and the ids of the pending ones."""
    asked = sa.select(VERSIONS.c.id, VERSIONS.c.number, VERSIONS.c.state)
    rows = (await tx.execute(asked.where(VERSIONS.c.model == model))).all()
    numbers = {row.number: VersionState(row.state) for row in rows if row.number is not None}
    return numbers, {str(row.id) for row in rows if row.number is None}


async def list_answering(tx: AsyncConnection, digits: str, number: int) -> list[Version]:
    """Lists the versions, of any model, that an answer's id may name."""
    return await _versions(
        tx, VERSIONS.c.digest.startswith(digits), VERSIONS.c.number == number, count=LINEAGE_MAX
    )


async def list_trained_on(tx: AsyncConnection, dataset_digest: str) -> list[Version]:
    """Lists the versions, of any model, that were trained on a dataset."""
    trained_on = VERSIONS.c.evidence["dataset_digest"].astext == dataset_digest
    return await _versions(tx, trained_on, VERSIONS.c.number.is_not(None), count=LINEAGE_MAX)


async def list_used(tx: AsyncConnection, models: Sequence[Model]) -> list[Version]:
    """Lists every version that one of `models` relies on."""
    pairs = [(model.name, number) for model in models for number in model.used]
    return await _versions(tx, sa.tuple_(VERSIONS.c.model, VERSIONS.c.number).in_(pairs))


async def delete_version(tx: AsyncConnection, version: Version) -> None:
    """Marks a version as deleted."""
    wanted = sa.and_(VERSIONS.c.model == version.model, VERSIONS.c.number == version.number)
    await tx.execute(VERSIONS.update().where(wanted).values(state=VersionState.DELETED))


async def save_promotion(tx: AsyncConnection, promotion: Promotion) -> None:
    """Writes a promotion, new or changed."""
    values = asdict(promotion)
    await tx.execute(
        insert(PROMOTIONS).values(values).on_conflict_do_update(index_elements=["id"], set_=values)
    )


async def get_promotion(tx: AsyncConnection, promotion_id: str) -> Promotion:
    """Gets a promotion. Raises NotFound."""
    found = await tx.execute(sa.select(PROMOTIONS).where(PROMOTIONS.c.id == promotion_id))
    row = found.mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no promotion {promotion_id}.", reason="PROMOTION_NOT_FOUND")
    return to_promotion(row)


async def list_promotions(
    tx: AsyncConnection, states: Sequence[PromotionState], models: Sequence[str] | None = None
) -> list[Promotion]:
    """Lists the promotions in these states, of these models or of all, oldest first."""
    asked = sa.select(PROMOTIONS).where(PROMOTIONS.c.state.in_(states))
    if models is not None:
        asked = asked.where(PROMOTIONS.c.model.in_(models))
    found = await tx.execute(asked.order_by(PROMOTIONS.c.create_time))
    return [to_promotion(row) for row in found.mappings()]


async def read_time_s(tx: AsyncConnection) -> float:
    """Reads the database's clock, which all registries share: seconds since the epoch."""
    now = sa.func.extract("epoch", sa.func.clock_timestamp())
    return float((await tx.execute(sa.select(now))).scalar_one())


async def find_before(tx: AsyncConnection, model: str, number: int) -> int:
    """Finds which version was champion when `number` was last promoted; 0 for none.

    A rollback does not count: who goes back twice goes back two steps, not to and fro.
    """
    asked = sa.select(PROMOTIONS.c.previous).where(
        PROMOTIONS.c.model == model,
        PROMOTIONS.c.number == number,
        PROMOTIONS.c.state == PromotionState.DONE,
        ~PROMOTIONS.c.rollback,
    )
    found = await tx.execute(asked.order_by(PROMOTIONS.c.revision.desc()).limit(1))
    return found.scalar_one_or_none() or 0


def version_not_found(model: str, asked: str) -> NotFound:
    """The error of a version that is not there."""
    return NotFound(
        f"Model {model!r} has no version {asked!r}.",
        reason="VERSION_NOT_FOUND",
        metadata={"model": model, "version": asked},
    )


async def _versions(
    tx: AsyncConnection, *wanted: sa.ColumnElement[Any], count: int | None = None
) -> list[Version]:
    is_champion = (MODELS.c.champion == VERSIONS.c.number).label("is_champion")
    asked = sa.select(VERSIONS, is_champion, evaluations.OF_VERSION).join(MODELS).where(*wanted)
    asked = asked.order_by(VERSIONS.c.model, VERSIONS.c.number.desc()).limit(count)
    return [to_version(row) for row in (await tx.execute(asked)).mappings()]
