"""Who may change what, and what becomes of a model by it. Pure; gates have a file of their own.

A check returns nothing or raises the error that the caller sees.
"""

from dataclasses import replace

from services.registry import gates
from services.registry.model import (
    Model,
    Policy,
    Promotion,
    PromotionState,
    Traffic,
    Version,
    VersionState,
)
from services.rpc.errors import Aborted, FailedPrecondition, InvalidArgument, PermissionDenied

WEIGHT_SUM = 100
# So many promotions of one model may wait for an approval.
WAITING_MAX = 32


def check_expected(model: Model, expected: int) -> None:
    """The caller must know the champion that is: otherwise it decides on old news."""
    if model.champion != expected:
        raise Aborted(
            f"The champion of {model.name!r} is version {model.champion}, not {expected}. "
            "Look at it, then decide again.",
            reason="CHAMPION_MOVED",
            metadata={"model": model.name, "champion": str(model.champion)},
        )


def check_ready(version: Version) -> None:
    """Only a version that is wholly there may take traffic."""
    if version.state is not VersionState.READY:
        raise FailedPrecondition(
            f"Version {version.number} of {version.model!r} is {version.state}, not ready.",
            reason="VERSION_NOT_READY",
            metadata={"model": version.model, "version": str(version.number)},
        )


def check_candidate(model: Model, version: Version, champion: Version | None) -> None:
    """A candidate must be ready, not champion already, and pass every gate."""
    check_ready(version)
    if version.number == model.champion:
        raise FailedPrecondition(
            f"Version {version.number} of {model.name!r} is the champion already.",
            reason="ALREADY_CHAMPION",
            metadata={"model": model.name, "version": str(version.number)},
        )
    found = gates.refusals(model.policy, version.measured, champion and champion.measured)
    if found:
        raise FailedPrecondition(
            f"Version {version.number} of {model.name!r} does not pass: {'; '.join(found)}.",
            reason="GATE_REFUSED",
            metadata={"model": model.name, "version": str(version.number)},
        )


def check_room(waiting: int) -> None:
    """Wishes that nobody answers must not pile up."""
    if waiting >= WAITING_MAX:
        raise FailedPrecondition(
            f"{waiting} promotions of this model wait already. Approve or reject some first.",
            reason="TOO_MANY_WAITING",
        )


def check_answer(policy: Policy, promotion: Promotion, principal: str) -> None:
    """Two people decide: the one that asks, and one that the policy names."""
    if principal not in policy.approvers:
        raise PermissionDenied(
            f"{principal!r} may not answer promotions of {promotion.model!r}: "
            "its policy names who may.",
            reason="NOT_AN_APPROVER",
            metadata={"model": promotion.model},
        )
    if principal == promotion.requested_by:
        raise PermissionDenied(
            "Who asked for a promotion may not answer it. Ask another approver.",
            reason="OWN_PROMOTION",
        )
    if promotion.state is not PromotionState.WAITING:
        raise FailedPrecondition(
            f"This promotion is {promotion.state} already.", reason="PROMOTION_ANSWERED"
        )


def check_predecessor(model: Model) -> None:
    """There must be something to go back to."""
    if not model.predecessor:
        raise FailedPrecondition(
            f"{model.name!r} has no version to go back to. Promote one instead.",
            reason="NO_PREDECESSOR",
            metadata={"model": model.name},
        )


def check_traffic(traffic: Traffic) -> None:
    """All requests go somewhere, and each once."""
    if sum(traffic.weights.values()) != WEIGHT_SUM:
        raise _bad_traffic(f"The weights must sum to {WEIGHT_SUM}.")
    if traffic.mirror in traffic.weights:
        raise _bad_traffic("The mirror must be a version that takes no traffic.")


def check_no_canary(running: Promotion | None) -> None:
    """While a canary is watched, nothing else may move the traffic that it is measured by."""
    if running is None or running.canary is None:
        return
    raise FailedPrecondition(
        f"Version {running.number} of {running.model!r} takes {running.canary.weight} % in a "
        "canary. Wait until it ends, or end it with a rollback of the model.",
        reason="CANARY_UNDER_WAY",
        metadata={"model": running.model, "promotion": running.id},
    )


def check_comparable(model: Model) -> None:
    """A canary is compared with a champion that takes all the rest."""
    if not model.champion:
        raise FailedPrecondition(
            f"{model.name!r} has no champion that a canary could be compared with. "
            "Promote its first version without one.",
            reason="NO_CHAMPION",
            metadata={"model": model.name},
        )
    if model.traffic.weights != {model.champion: WEIGHT_SUM}:
        raise FailedPrecondition(
            f"The traffic of {model.name!r} is spread by hand. Give all of it to the champion, "
            f"version {model.champion}, before a canary begins.",
            reason="TRAFFIC_SPREAD",
            metadata={"model": model.name, "champion": str(model.champion)},
        )


def check_watched(watched: bool) -> None:
    """Nobody may begin a canary that nobody looks after."""
    if not watched:
        raise FailedPrecondition(
            "This registry knows no mesh to watch a canary by: PARLEY_REGISTRY_MESH_ADDRESS is "
            "empty. Set it, or promote without a canary.",
            reason="NO_MESH",
        )


def check_unused(model: Model, number: int) -> None:
    """What something relies on cannot be deleted."""
    uses = {
        "it is the champion": number == model.champion,
        "it is the one to roll back to": number == model.predecessor,
        "it takes traffic": number in model.traffic.weights,
        "it gets a copy of the traffic": number == model.traffic.mirror,
    }
    for use, holds in uses.items():
        if holds:
            raise FailedPrecondition(
                f"Version {number} of {model.name!r} cannot be deleted: {use}.",
                reason="VERSION_IN_USE",
                metadata={"model": model.name, "version": str(number)},
            )


def with_champion(model: Model, number: int, predecessor: int) -> Model:
    """The model with a champion that takes all traffic."""
    return replace(
        model,
        champion=number,
        predecessor=predecessor,
        traffic=Traffic({number: WEIGHT_SUM}),
    )


def with_canary(model: Model, number: int, weight: int) -> Model:
    """The model with a canary that takes `weight` percent; the champion takes the rest.

    A version that was mirrored to until now is measured by its own answers alone.
    """
    weights = {model.champion: WEIGHT_SUM - weight, number: weight}
    mirror = 0 if model.traffic.mirror == number else model.traffic.mirror
    spread = {one: share for one, share in sorted(weights.items()) if share}
    return replace(model, traffic=Traffic(spread, mirror))


def without_canary(model: Model, mirror: int) -> Model:
    """The model as it was before a canary: all is the champion's, and `mirror` gets copies."""
    return replace(model, traffic=Traffic({model.champion: WEIGHT_SUM}, mirror))


def _bad_traffic(words: str) -> InvalidArgument:
    return InvalidArgument(words, reason="INVALID_FIELD", metadata={"field": "traffic"})
