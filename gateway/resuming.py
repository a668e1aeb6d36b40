"""What to ask of another replica so that an answer goes on as if nothing had happened. Pure.

A replica goes on behind the tokens that the caller holds. Where that would not give the same answer
(a grammar or a count of tokens that starts anew, a seed whose numbers are drawn in order), it makes
the answer again, and what the caller holds is compared and left out.
"""

import secrets

from parley.serving.v1 import model_serving_pb2 as pb

from gateway.choices import Choice
from services.rpc import errors

SEED_BITS = 63


def resumable(asked: pb.GenerateRequest) -> pb.GenerateRequest:
    """The request itself, with a seed if it must be possible to make its answer again."""
    if not is_made_again(asked) or asked.sampling.HasField("seed"):
        return asked
    seeded = pb.GenerateRequest()
    seeded.CopyFrom(asked)
    seeded.sampling.seed = secrets.randbits(SEED_BITS)
    return seeded


def is_made_again(asked: pb.GenerateRequest) -> bool:
    """Whether the answer can only be gone on with by making it again."""
    sampling = asked.sampling
    greedy = sampling.HasField("temperature") and sampling.temperature == 0
    return bool(
        asked.HasField("output_format")
        or sampling.presence_penalty
        or sampling.frequency_penalty
        or (sampling.HasField("seed") and not greedy)
    )


def onward(asked: pb.GenerateRequest, started: pb.Started, choice: Choice) -> pb.GenerateRequest:
    """The request for the rest of one choice, from the version that began it."""
    request = pb.GenerateRequest()
    request.CopyFrom(asked)
    request.model = f"{started.model}@{started.version}"
    request.choices = 1
    if asked.sampling.HasField("seed"):
        # As the replica does it for several choices.
        request.sampling.seed = (asked.sampling.seed + choice.index) % (1 << SEED_BITS)
    if not is_made_again(asked):
        request.resume_token_ids.extend(choice.ids)
    return request


def check_same(first: pb.Started, second: pb.Started) -> None:
    """Raises FailedPrecondition unless both come from the same files and count the same prompt."""
    for field in ("model", "version", "digest", "prompt_tokens"):
        if getattr(first, field) != getattr(second, field):
            raise errors.FailedPrecondition(
                f"Another replica would go on with a different {field}.",
                reason="RESUME_UNSUPPORTED",
            )


def refused(refusal: errors.ParleyError) -> errors.Unavailable:
    """What a client is told when no replica can go on with its answer."""
    return errors.Unavailable(
        "The replica that was answering ended, and no other one can go on with this answer "
        f"({refusal.reason}). Ask again.",
        reason="RESUME_REFUSED",
        metadata={"refusal": refusal.reason},
    )
