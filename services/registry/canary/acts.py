"""What is done with a canary, each in one transaction that holds the model's row.

So people and registries take turns: of two registries that look after one canary, the second finds
the row taken, and lets the first one do it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry import audit, catalog, rules
from services.registry.canary import steps
from services.registry.canary.judging import Limits
from services.registry.canary.steps import Canary, Decision, Look, Outcome
from services.registry.deploying import Wish, carry_out, check_candidate, deployed
from services.registry.model import PARLEY, Model, Promotion, PromotionState
from services.rpc.errors import FailedPrecondition

CheckVersion = Callable[[str, int], Awaitable[None]]


async def find_running(tx: AsyncConnection, name: str) -> Promotion | None:
    """Finds a model's canary that is under way; the tables hold one at most."""
    found = await catalog.list_promotions(tx, [PromotionState.CANARY], [name])
    return found[0] if found else None


async def check_none(tx: AsyncConnection, model: Model) -> None:
    """Raises FailedPrecondition while a canary of the model is under way."""
    rules.check_no_canary(await find_running(tx, model.name))


def check_start(model: Model, canary: Canary) -> None:
    """Raises InvalidArgument for steps that do not rise to the whole, FailedPrecondition where
    there is nothing to compare with."""
    steps.check_steps(canary.steps)
    rules.check_comparable(model)


async def start(
    tx: AsyncConnection,
    wish: Wish,
    action: str,
    model: Model,
    promotion: Promotion,
    asked: Canary,
) -> Promotion:
    """Begins the canary that is asked for: its version takes the first share. Returns the
    promotion."""
    canary = steps.begin(asked, await catalog.read_time_s(tx))
    canary = replace(canary, mirror=model.traffic.mirror)
    begun = replace(promotion, state=PromotionState.CANARY)
    return await _spread(tx, wish, action, model, begun, canary)


async def end(
    tx: AsyncConnection, wish: Wish, model: Model, promotion: Promotion, canary: Canary
) -> Promotion:
    """Ends a canary: all traffic is the champion's again. Returns the promotion, rolled back."""
    changed = rules.without_canary(model, canary.mirror)
    ended = replace(promotion, state=PromotionState.ROLLED_BACK)
    return await _write(tx, wish, "rollback", (model, changed), ended, canary)


async def end_by_wish(
    tx: AsyncConnection, wish: Wish, model: Model, promotion: Promotion, canary: Canary
) -> Promotion:
    """Ends a canary because somebody asks for it. Returns the promotion."""
    why = f": {wish.reason}" if wish.reason else ""
    words = f"ended by {wish.principal}{why}"
    return await end(tx, wish, model, promotion, replace(canary, verdict=words))


async def drive(
    tx: AsyncConnection,
    promotion_id: str,
    look: Look,
    limits: Limits,
    check_version: CheckVersion,
) -> Promotion | None:
    """Decides on a canary, and does what is decided; returns the promotion as it is then.

    None when there was nothing to do: the canary has ended, or somebody else is at the model now.
    `check_version` raises FailedPrecondition when a version may not become champion after all.
    `look.now_s` is taken from the database.
    """
    found = await catalog.get_promotion(tx, promotion_id)
    model = await catalog.find_free_model(tx, found.model)
    if model is None:
        return None
    # Read again: before the lock, another change may have been on its way.
    promotion = await catalog.get_promotion(tx, promotion_id)
    canary = promotion.canary
    if promotion.state is not PromotionState.CANARY or canary is None:
        return None
    look = replace(look, now_s=await catalog.read_time_s(tx))
    decision = steps.decide(canary, model.champion, promotion.number, look, limits)
    return await _do(tx, decision, model, promotion, look.now_s, limits, check_version)


async def _do(
    tx: AsyncConnection,
    decision: Decision,
    model: Model,
    promotion: Promotion,
    now_s: float,
    limits: Limits,
    check_version: CheckVersion,
) -> Promotion:
    canary = decision.canary
    promotion = replace(promotion, canary=canary)
    wish = Wish(PARLEY, promotion.id, canary.verdict)
    if decision.outcome is Outcome.HOLD:
        await catalog.save_promotion(tx, promotion)
        return promotion
    if decision.outcome is Outcome.ROLL_BACK:
        return await end(tx, wish, model, promotion, canary)
    if decision.outcome is Outcome.ADVANCE:
        further = steps.advance(canary, now_s, limits.answers_min)
        return await _spread(tx, wish, "step", model, promotion, further)
    try:
        version = await check_candidate(tx, model, promotion.number)
        await check_version(model.name, promotion.number)
    except FailedPrecondition as refusal:
        refused = replace(canary, verdict=refusal.message)
        return await end(tx, replace(wish, reason=refusal.message), model, promotion, refused)
    said = replace(wish, reason=promotion.reason)
    return await carry_out(tx, said, "promote", model, version, promotion)


async def _spread(
    tx: AsyncConnection,
    wish: Wish,
    action: str,
    model: Model,
    promotion: Promotion,
    canary: Canary,
) -> Promotion:
    """Gives the canary its step's share."""
    changed = rules.with_canary(model, promotion.number, canary.weight)
    return await _write(tx, wish, action, (model, changed), promotion, canary)


async def _write(
    tx: AsyncConnection,
    wish: Wish,
    action: str,
    change: tuple[Model, Model],
    promotion: Promotion,
    canary: Canary,
) -> Promotion:
    before, after = change
    await catalog.save_model(tx, after)
    act = wish.act(
        action,
        before.name,
        promotion.number,
        before=deployed(before),
        after=deployed(after),
        evidence={"promotion": promotion.id, "verdict": canary.verdict, **canary.evidence},
    )
    revision = await audit.record(tx, act)
    written = replace(promotion, canary=canary, revision=revision)
    await catalog.save_promotion(tx, written)
    return written
