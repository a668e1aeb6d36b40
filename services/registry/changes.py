"""Every change of a model that somebody asks for: checked, made and written down in one
transaction.

Each holds the model's row, so that of several at once one is first and the others see what it did.
Knows neither MLflow, nor how a request arrives.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry import audit, catalog, evaluations, rules
from services.registry.model import (
    Act,
    Evaluation,
    Model,
    Policy,
    Promotion,
    PromotionState,
    Traffic,
    Version,
    VersionState,
)
from services.registry.rows import from_evidence, from_policy, from_traffic


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


async def set_policy(tx: AsyncConnection, wish: Wish, name: str, policy: Policy) -> Model:
    """Sets a model's rules; makes the model when there is none."""
    await catalog.ensure_model(tx, name)
    model = await catalog.get_model(tx, name, lock=True)
    changed = replace(model, policy=policy)
    await catalog.save_model(tx, changed)
    before, after = from_policy(model.policy), from_policy(policy)
    await audit.record(tx, wish.act("policy", name, before=before, after=after))
    return changed


async def promote(
    tx: AsyncConnection, wish: Wish, name: str, number: int, expected: int
) -> Promotion:
    """Makes a version the champion, or leaves a promotion that waits for an approval."""
    model = await catalog.get_model(tx, name, lock=True)
    rules.check_expected(model, expected)
    version = await _check_candidate(tx, model, number)
    promotion = Promotion(
        id=wish.request_id,
        model=name,
        number=number,
        state=PromotionState.WAITING,
        requested_by=wish.principal,
        reason=wish.reason,
        previous=model.champion,
    )
    if not model.policy.approvers:
        return await _carry_out(tx, wish, "promote", model, version, promotion)
    rules.check_room(len(await catalog.list_waiting(tx, [name])))
    await catalog.save_promotion(tx, promotion)
    act = wish.act("ask", name, number, evidence=_evidence(version))
    await audit.record(tx, act)
    return promotion


async def answer(tx: AsyncConnection, wish: Wish, promotion_id: str, approve: bool) -> Promotion:
    """Carries a promotion out that waits, or rejects it."""
    found = await catalog.get_promotion(tx, promotion_id)
    model = await catalog.get_model(tx, found.model, lock=True)
    # Read again: before the lock, another answer may have been on its way.
    promotion = await catalog.get_promotion(tx, promotion_id)
    rules.check_answer(model.policy, promotion, wish.principal)
    answered = replace(promotion, answered_by=wish.principal)
    if not approve:
        rejected = replace(answered, state=PromotionState.REJECTED)
        await catalog.save_promotion(tx, rejected)
        await audit.record(tx, wish.act("reject", model.name, promotion.number))
        return rejected
    rules.check_expected(model, promotion.previous)
    version = await _check_candidate(tx, model, promotion.number)
    return await _carry_out(tx, wish, "approve", model, version, answered)


async def roll_back(tx: AsyncConnection, wish: Wish, name: str, expected: int) -> Promotion:
    """Makes the champion's predecessor the champion again."""
    model = await catalog.get_model(tx, name, lock=True)
    rules.check_expected(model, expected)
    rules.check_predecessor(model)
    version = await catalog.get_version(tx, name, model.predecessor)
    rules.check_ready(version)
    promotion = Promotion(
        id=wish.request_id,
        model=name,
        number=version.number,
        state=PromotionState.WAITING,
        requested_by=wish.principal,
        reason=wish.reason,
        previous=model.champion,
        rollback=True,
    )
    return await _carry_out(tx, wish, "rollback", model, version, promotion)


async def set_traffic(
    tx: AsyncConnection, wish: Wish, name: str, traffic: Traffic, expected: int
) -> tuple[Model, int]:
    """Spreads a model's traffic; returns the model and the revision."""
    rules.check_traffic(traffic)
    model = await catalog.get_model(tx, name, lock=True)
    rules.check_expected(model, expected)
    for number in sorted(traffic.numbers):
        rules.check_ready(await catalog.get_version(tx, name, number))
    changed = replace(model, traffic=traffic)
    await catalog.save_model(tx, changed)
    act = wish.act("traffic", name, before=_deployed(model), after=_deployed(changed))
    return changed, await audit.record(tx, act)


async def record_evaluation(
    tx: AsyncConnection, wish: Wish, name: str, number: int, evaluation: Evaluation
) -> Version:
    """Records how a version did on one more dataset; returns the version."""
    await catalog.get_model(tx, name, lock=True)
    rules.check_ready(await catalog.get_version(tx, name, number))
    digest, metrics = evaluation.evaluation_digest, evaluation.metrics
    before = await evaluations.find_metrics(tx, name, number, digest)
    await evaluations.save(tx, name, number, evaluation)
    act = wish.act(
        "evaluate",
        name,
        number,
        before={"evaluation_digest": digest, "metrics": before} if before else {},
        after={"evaluation_digest": digest, "metrics": metrics},
    )
    await audit.record(tx, act)
    return await catalog.get_version(tx, name, number)


async def delete(tx: AsyncConnection, wish: Wish, name: str, number: int) -> Version:
    """Deletes a version that nothing uses; returns it as it was."""
    model = await catalog.get_model(tx, name, lock=True)
    version = await catalog.get_version(tx, name, number)
    rules.check_ready(version)
    rules.check_unused(model, number)
    await catalog.delete_version(tx, version)
    before, after = {"state": VersionState.READY}, {"state": VersionState.DELETED}
    await audit.record(tx, wish.act("delete", name, number, before=before, after=after))
    return version


async def _check_candidate(tx: AsyncConnection, model: Model, number: int) -> Version:
    version = await catalog.get_version(tx, model.name, number)
    champion = None
    if model.champion:
        champion = await catalog.get_version(tx, model.name, model.champion)
    rules.check_candidate(model, version, champion)
    return version


async def _carry_out(
    tx: AsyncConnection,
    wish: Wish,
    action: str,
    model: Model,
    version: Version,
    promotion: Promotion,
) -> Promotion:
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
        before=_deployed(model),
        after=_deployed(changed),
        evidence=_evidence(version),
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


def _deployed(model: Model) -> Mapping[str, Any]:
    return {"champion": model.champion, "traffic": from_traffic(model.traffic)}


def _evidence(version: Version) -> Mapping[str, Any]:
    return {"digest": version.digest, **from_evidence(version.evidence)}
