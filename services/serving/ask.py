"""What a request asks of a model, what it gets back, and what no model can be asked.

Pure data and rules; knows neither gRPC nor the engine's work.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from services.rpc.errors import FailedPrecondition, InvalidArgument
from services.serving.engine import Format, Sampling
from services.serving.model import Model


@dataclass(frozen=True, slots=True)
class Ask:
    """What a request wants. `tokens_max` None takes what the context leaves; `seed` None a random
    one."""

    prompt_ids: Sequence[int]
    sampling: Sampling
    seed: int | None = None
    choices: int = 1
    tokens_max: int | None = None
    stop_strings: Sequence[str] = ()
    ignore_end: bool = False
    format: Format | None = None
    logprobs: bool = False
    resume_ids: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Started:
    """The request has its place."""

    prompt_tokens: int
    repeatable: bool


@dataclass(frozen=True, slots=True)
class Delta:
    """More of one choice. `tokens` are the tokens' bytes where no vocabulary here knows them."""

    choice: int
    position: int
    token_ids: list[int]
    text: str
    logprobs: list[float]
    tokens: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class Finished:
    """One choice is complete; times are seconds since admission."""

    choice: int
    reason: str
    stop_string: str
    prompt_tokens: int
    completion_tokens: int
    queue_s: float
    first_token_s: float
    total_s: float


Event = Started | Delta | Finished


def check(ask: Ask, model: Model) -> int:
    """Returns the most tokens of each answer, resumed ones included.

    Raises InvalidArgument or FailedPrecondition for what this model cannot be asked.
    """
    room = model.context_tokens_max - len(ask.prompt_ids)
    wanted = 1 if ask.tokens_max is None else ask.tokens_max
    if wanted > room:
        raise _too_long(len(ask.prompt_ids), ask.tokens_max, model.context_tokens_max)
    tokens_max = room if ask.tokens_max is None else ask.tokens_max
    for field, ids in (("tokens.ids", ask.prompt_ids), ("resume_token_ids", ask.resume_ids)):
        if ids and max(ids) >= model.vocabulary_size:
            raise _unknown_token(field, max(ids), model.vocabulary_size)
    if ask.format is not None and ask.ignore_end:
        raise InvalidArgument(
            "An answer with an output format ends where the format does: leave ignore_end out.",
            reason="INVALID_FIELD",
            metadata={"field": "stopping.ignore_end"},
        )
    if ask.resume_ids:
        _check_resume(ask)
    return tokens_max


def _check_resume(ask: Ask) -> None:
    against = {
        "several choices": ask.choices > 1,
        "an output format": ask.format is not None,
        "presence or frequency penalties": bool(
            ask.sampling.presence_penalty or ask.sampling.frequency_penalty
        ),
    }
    for what, asked in against.items():
        if asked:
            raise FailedPrecondition(
                f"An answer with {what} cannot be resumed; start it again.",
                reason="RESUME_UNSUPPORTED",
            )


def _unknown_token(field: str, token_id: int, vocabulary_size: int) -> InvalidArgument:
    return InvalidArgument(
        f"Token id {token_id} is not in the model's vocabulary of {vocabulary_size}.",
        reason="INVALID_FIELD",
        metadata={"field": field},
    )


def _too_long(
    prompt_tokens: int, tokens_max: int | None, context_tokens_max: int
) -> InvalidArgument:
    answer = "" if tokens_max is None else f" and an answer of up to {tokens_max}"
    return InvalidArgument(
        f"This model's context holds {context_tokens_max} tokens, prompt and answer together. "
        f"The request has a prompt of {prompt_tokens} tokens{answer}. Make it shorter.",
        reason="CONTEXT_LENGTH_EXCEEDED",
        metadata={
            "prompt_tokens": str(prompt_tokens),
            "context_tokens_max": str(context_tokens_max),
        },
    )
