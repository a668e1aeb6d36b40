"""How a version becomes champion: the parts of a change that promotions of all kinds share.

Each is part of a transaction that holds the model's row.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry import audit, catalog, rules
from services.registry.model import Act, Model, Promotion, PromotionState, Version, VersionState
from services.registry.rows import from_evidence, from_traffic


@dataclass(frozen=True, slots=True)
class Wish:
    """Who asks for a change, why, and in which request."""

    principal: str
    request_id: str
    reason: str = ""

    def act(self, action: str, model: str, number: int = 0, **rest: Any) -> Act:
        """What goes into the audit."""
        return Act(
            self.principal,
            action,
            model,
            number,
            reason=self.reason,
            request_id=self.request_id,
            **rest,
        )


async def check_candidate(tx: AsyncConnection, model: Model, number: int) -> Version:
    """Gets a version that may become champion. Raises FailedPrecondition, with the gates' words."""
    version = await catalog.get_version(tx, model.name, number)
    champion = None
    if model.champion:
        champion = await catalog.get_version(tx, model.name, model.champion)
    rules.check_candidate(model, version, champion)
    return version


async def carry_out(
    tx: AsyncConnection,
    wish: Wish,
    action: str,
    model: Model,
    version: Version,
    promotion: Promotion,
) -> Promotion:
    """Makes a version the champion, and writes it down; returns the promotion, which is done."""
    number = version.number
    predecessor = model.champion
    if promotion.rollback:
        predecessor = await _find_predecessor(tx, model, number)
    changed = rules.with_champion(model, number, predecessor)
    await catalog.save_model(tx, changed)
    act = wish.act(
        action,
        model.name,
        number,
        before=deployed(model),
        after=deployed(changed),
        evidence={**evidence_of(version), **_evidence_of_canary(promotion)},
    )
    revision = await audit.record(tx, act)
    done = replace(promotion, state=PromotionState.DONE, revision=revision)
    await catalog.save_promotion(tx, done)
    return done


async def _find_predecessor(tx: AsyncConnection, model: Model, number: int) -> int:
    """Finds what stood before the version that a rollback goes to, if it still can be used."""
    before = await catalog.find_before(tx, model.name, number)
    version = await catalog.find_version(tx, model.name, before) if before else None
    usable = version is not None and version.state is VersionState.READY
    return before if usable and before != model.champion else 0


def deployed(model: Model) -> Mapping[str, Any]:
    """Which versions answer, for the audit."""
    return {"champion": model.champion, "traffic": from_traffic(model.traffic)}


def evidence_of(version: Version) -> Mapping[str, Any]:
    """What speaks for a version, for the audit."""
    return {"digest": version.digest, **from_evidence(version.evidence)}


def _evidence_of_canary(promotion: Promotion) -> Mapping[str, Any]:
    canary = promotion.canary
    return {"canary": {"verdict": canary.verdict, **canary.evidence}} if canary else {}
