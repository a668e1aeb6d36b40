"""What becomes of a canary in the registry in memory: by the contract's rules, without a mesh."""

from parley.registry.v1 import canary_pb2
from parley.registry.v1 import registry_pb2 as pb

from services.rpc import errors

WHOLE = 100


def begin(promotion: pb.Promotion, model: pb.Model, asked: canary_pb2.Canary) -> None:
    """Takes the first step. Raises InvalidArgument for steps that do not rise to the whole."""
    if list(asked.steps) != sorted(set(asked.steps)) or asked.steps[-1] != WHOLE:
        raise errors.InvalidArgument(
            "A canary's steps must rise and end with 100, for example 1,10,50,100.",
            reason="INVALID_FIELD",
            metadata={"field": "canary.steps"},
        )
    promotion.state = pb.PROMOTION_STATE_CANARY
    promotion.canary.canary.CopyFrom(asked)
    promotion.canary.verdict = "waiting until a replica has it ready"
    _take_share(promotion, model)


def move(promotion: pb.Promotion, model: pb.Model, worse_at: int | None) -> bool:
    """Goes a step further, or back for good at the step `worse_at`; False at the last step, behind
    which the version is champion."""
    canary = promotion.canary
    if canary.step == worse_at:
        end(promotion, model, "worse than the champion: 3 of 3 answers failed")
    elif canary.step + 1 == len(canary.canary.steps):
        del model.waiting[:]
        return False
    else:
        canary.step += 1
        canary.verdict = f"{20 * canary.step} answers, none failed"
        _take_share(promotion, model)
    return True


def end(promotion: pb.Promotion, model: pb.Model, verdict: str) -> None:
    """Gives all traffic back to the champion."""
    promotion.state = pb.PROMOTION_STATE_ROLLED_BACK
    promotion.canary.verdict, promotion.canary.weight = verdict, 0
    del model.waiting[:]
    model.traffic.CopyFrom(pb.Traffic(routes=[pb.Route(number=model.champion, weight=WHOLE)]))


def _take_share(promotion: pb.Promotion, model: pb.Model) -> None:
    promotion.canary.weight = promotion.canary.canary.steps[promotion.canary.step]
    promotion.canary.step_time.GetCurrentTime()
    shares = {model.champion: WHOLE - promotion.canary.weight}
    shares[promotion.number] = promotion.canary.weight
    routes = [pb.Route(number=n, weight=weight) for n, weight in shares.items() if weight]
    model.traffic.CopyFrom(pb.Traffic(routes=routes))
    del model.waiting[:]
    model.waiting.append(promotion)
