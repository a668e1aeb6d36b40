"""Every change of a model that somebody asks for: checked, made and written down in one
transaction.

Each holds the model's row, so that of several at once one is first and the others see what it did.
Knows neither MLflow, nor how a request arrives.
"""

from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry import audit, catalog, evaluations, rules
from services.registry.canary import acts
from services.registry.canary.steps import Canary
from services.registry.deploying import Wish, carry_out, check_candidate, deployed, evidence_of
from services.registry.model import (
    Evaluation,
    Model,
    Policy,
    Promotion,
    PromotionState,
    Traffic,
    Version,
    VersionState,
)
from services.registry.rows import from_policy


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
    tx: AsyncConnection,
    wish: Wish,
    name: str,
    number: int,
    expected: int,
    canary: Canary | None = None,
) -> Promotion:
    """Makes a version the champion, at once or in the steps of a canary, or leaves a promotion that
    waits for an approval."""
    model = await catalog.get_model(tx, name, lock=True)
    rules.check_expected(model, expected)
    await acts.check_none(tx, model)
    version = await check_candidate(tx, model, number)
    promotion = Promotion(
        id=wish.request_id,
        model=name,
        number=number,
        state=PromotionState.WAITING,
        requested_by=wish.principal,
        reason=wish.reason,
        previous=model.champion,
        canary=canary,
    )
    if canary:
        acts.check_start(model, canary)
    if not model.policy.approvers:
        if canary:
            return await acts.start(tx, wish, "canary", model, promotion, canary)
        return await carry_out(tx, wish, "promote", model, version, promotion)
    rules.check_room(len(await catalog.list_promotions(tx, [PromotionState.WAITING], [name])))
    await catalog.save_promotion(tx, promotion)
    act = wish.act("ask", name, number, evidence=evidence_of(version))
    await audit.record(tx, act)
    return promotion


async def answer(tx: AsyncConnection, wish: Wish, promotion_id: str, approve: bool) -> Promotion:
    """Carries a promotion out that waits, or begins its canary, or rejects it."""
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
    await acts.check_none(tx, model)
    version = await check_candidate(tx, model, promotion.number)
    if answered.canary:
        acts.check_start(model, answered.canary)
        return await acts.start(tx, wish, "approve", model, answered, answered.canary)
    return await carry_out(tx, wish, "approve", model, version, answered)


async def roll_back(tx: AsyncConnection, wish: Wish, name: str, expected: int) -> Promotion:
    """Ends a canary; where there is none, makes the champion's predecessor the champion again."""
    model = await catalog.get_model(tx, name, lock=True)
    rules.check_expected(model, expected)
    running = await acts.find_running(tx, name)
    if running and running.canary:
        return await acts.end_by_wish(tx, wish, model, running, running.canary)
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
    return await carry_out(tx, wish, "rollback", model, version, promotion)


async def set_traffic(
    tx: AsyncConnection, wish: Wish, name: str, traffic: Traffic, expected: int
) -> tuple[Model, int]:
    """Spreads a model's traffic; returns the model and the revision."""
    rules.check_traffic(traffic)
    model = await catalog.get_model(tx, name, lock=True)
    rules.check_expected(model, expected)
    await acts.check_none(tx, model)
    for number in sorted(traffic.numbers):
        rules.check_ready(await catalog.get_version(tx, name, number))
    changed = replace(model, traffic=traffic)
    await catalog.save_model(tx, changed)
    act = wish.act("traffic", name, before=deployed(model), after=deployed(changed))
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
