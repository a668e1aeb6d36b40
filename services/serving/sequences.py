"""A sequence in the engine, and whether the cache holds all of them.

The engine puts off by itself what its cache does not hold, but not together with prefix caching
(see the traps in ARCHITECTURE.md). So with that, the worker never lets it come so far: who is to
start waits for room, and when answers grow out of the cache, the youngest leaves and begins again:
behind what its reader has, or from its first token where a seed, a format or penalties count from
there, and then its reader gets what is new.

Pure: knows no engine. A handle is whatever the engine gave.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from services.serving.engine import seed_behind
from services.serving.prefixes import BLOCK_TOKENS

# How many blocks each answer may grow by before one has to make way. In six mixtures, 3 took up to
# 7 % more steps, and with 1 up to three times as many made way (`python -m bench.preemption`).
GROWTH_BLOCKS = 2


class Diverged(Exception):
    """A sequence that began again became another."""


@dataclass(slots=True)
class Sequence:
    """One answer in the making; `options` are the engine's, and `made_again` is that of its
    request."""

    prompt_ids: list[int]
    options: dict[str, Any]
    made_again: bool = False
    handle: Any = None
    # What the reader has of the answer to `prompt_ids`.
    sent: list[int] = field(default_factory=list)
    # How many of its tokens the engine has brought since it last began.
    _brought: int = 0

    @property
    def length(self) -> int:
        """Its tokens in the engine: the prompt, and what that has brought since it last began."""
        return len(self.prompt_ids) + self._brought

    @property
    def reach(self) -> int:
        """How far it was, wherever it is now: the prompt, and what its reader has."""
        return len(self.prompt_ids) + len(self.sent)

    def begin(self, handle: Any) -> None:
        """Notes that the engine has it: for the first time, or again."""
        self.handle, self._brought = handle, 0

    def make_way(self) -> None:
        """Notes that it is out of the engine and begins again later."""
        if self.made_again:
            return
        self.prompt_ids = self.prompt_ids + self.sent
        self.options["max_new_tokens"] -= len(self.sent)
        if "rng_seed" in self.options:
            # The numbers drawn before are not drawn again.
            self.options["rng_seed"] = seed_behind(self.options["rng_seed"], len(self.sent))
        self.sent = []

    def take(self, ids: list[int], logprobs: list[float]) -> tuple[list[int], list[float]]:
        """Takes the next tokens, and returns what of them is new to the reader.

        The log probabilities come back only where `options` asks for them. Raises Diverged for a
        token that the reader has otherwise.
        """
        again = self.sent[self._brought : self._brought + len(ids)]
        if ids[: len(again)] != again:
            raise Diverged("the cache was full, and begun again the answer became another")
        self._brought += len(ids)
        new = ids[len(again) :]
        self.sent += new
        return new, logprobs[len(again) :] if self.options.get("logprobs") else []


class Room:
    """The blocks of the cache, as if sequences shared none: what is shared is on top.

    Who lives may grow by `growth` blocks before another one starts.
    """

    def __init__(self, blocks: int, growth: int = GROWTH_BLOCKS) -> None:
        self._blocks = blocks
        self._growth = growth

    def holds(self, live: Iterable[Sequence]) -> bool:
        """Whether the step after the next has a place for every token.

        Who leaves now gives its blocks back with the next step only.
        """
        return sum(blocks(one.length + 1) for one in live) <= self._blocks

    def admits(self, sequence: Sequence, live: list[Sequence], leaving: int) -> bool:
        """Whether one more may start beside those that live, and so many blocks of who has left.

        Those may grow a little, so that the new one does not leave at once.
        """
        held = sum(blocks(one.length + 1) + self._growth for one in live)
        return held + leaving + blocks(sequence.reach + 1) <= self._blocks


def blocks(tokens: int) -> int:
    """How many blocks of the cache hold so many tokens."""
    return -(-tokens // BLOCK_TOKENS)
