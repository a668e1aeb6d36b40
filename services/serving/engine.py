"""What serving asks of an engine: token ids in, token ids out, batched step by step.

An engine knows nothing of text, templates, choices or the wire. A server elsewhere, which does, is
no engine: see `remote/`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Protocol

SEED_BITS = 63


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen; ranges are those of parley.serving.v1.Sampling. Temperature 0 is
    greedy."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    seed: int = 0


def seed_behind(seed: int, count: int) -> int:
    """The seed of a choice, or of an answer's rest, so far behind the first."""
    return (seed + count) % (1 << SEED_BITS)


CHOSEN_BY = tuple(one.name for one in fields(Sampling) if one.name != "seed")
"""What of a sampling the caller may set, by the contract's names; the seed apart, which each choice
has its own of."""


@dataclass(frozen=True, slots=True)
class Format:
    """A form that the answer must have: an EBNF grammar as xgrammar reads it, its root `root`."""

    grammar: str


@dataclass(frozen=True, slots=True)
class SequenceRequest:
    """One sequence to sample. `id` is unique in the replica's life; `tokens_max` is at least 1.

    With `repeatable`, the same must come of its seed each time.
    """

    id: int
    prompt_ids: Sequence[int]
    tokens_max: int
    sampling: Sampling
    end_ids: Sequence[int] = ()
    format: Format | None = None
    logprobs: bool = False
    repeatable: bool = False

    @property
    def made_again(self) -> bool:
        """Whether it can be gone on with only by making it again from its first token.

        A grammar and counts of tokens begin with the answer, and a seed's numbers are drawn in
        order.
        """
        sampling = self.sampling
        return bool(
            self.format is not None
            or sampling.presence_penalty
            or sampling.frequency_penalty
            or (self.repeatable and sampling.temperature > 0)
        )


@dataclass(slots=True)
class Progress:
    """What one step brought one sequence. `finish` is "", "stop" or "length", and comes with the
    last token."""

    id: int
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish: str = ""


@dataclass(frozen=True, slots=True)
class Load:
    """How busy an engine is, by its own count. `cache_usage` goes from 0 to 1.

    `waiting` sequences it has taken and not begun; `preemptions` counts those that made way for
    others and begin again, since the replica's start.
    """

    running: int = 0
    cache_usage: float = 0.0
    waiting: int = 0
    preemptions: int = 0


@dataclass(frozen=True, slots=True)
class Death:
    """An engine is gone, and with it every sequence submitted since its start.

    `culprit` is the sequence whose format it was compiling, if it was. `final` says that it keeps
    dying: nobody should wait for the next start.
    """

    culprit: int | None = None
    final: bool = False


class Engine(Protocol):
    """Samples many sequences together."""

    @property
    def load(self) -> Load:
        """The engine's own last count."""

    @property
    def ready(self) -> bool:
        """Whether it takes sequences now."""

    @property
    def failed(self) -> bool:
        """Whether it keeps dying."""

    @property
    def restarts(self) -> int:
        """How often it was started again."""

    def start(self, listener: "Listener") -> None:
        """Starts it; the listener hears when it is ready. Call it once."""

    async def close(self) -> None:
        """Ends it. The listener hears nothing any more."""

    def submit(self, sequence: SequenceRequest) -> None:
        """Adds a sequence, only while `ready`. Never blocks and never raises: the listener hears
        what comes of it."""

    def cancel(self, sequence_id: int) -> None:
        """Ends a sequence before the next step. Nothing more comes of it. Safe to repeat."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Who hears of an engine. All are called on the event loop and must not block.

    `on_ready` comes after each start, `on_death` when the engine is gone. `on_refused` names a
    sequence that the engine would not take, `on_lost` one that it cannot go on with.
    """

    on_progress: Callable[[list[Progress]], None]
    on_ready: Callable[[], None]
    on_death: Callable[[Death], None]
    on_refused: Callable[[int], None]
    on_lost: Callable[[int], None]
