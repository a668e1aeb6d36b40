"""Who may enter: a first-in first-out queue with bounds on sequences and on tokens.

Each sequence promises its prompt's and its answer's tokens. What would exceed the bounds is refused
at once, with a guess at when it may pass. Pure: no clock of its own, no I/O.
"""

from collections.abc import Callable
from dataclasses import dataclass

from services.rpc.errors import ResourceExhausted

RETRY_AFTER_S_MIN, RETRY_AFTER_S_MAX = 1.0, 30.0
# Used for the guess until the first answers have shown this engine's speed.
TOKENS_PER_S_START = 100.0
# Weight of the newest second in the running mean of the speed.
SPEED_GAIN = 0.2


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one engine. `running_max` sequences sample at a time, the others wait."""

    running_max: int
    sequences_max: int
    tokens_max: int


@dataclass(slots=True, eq=False)
class Ticket:
    """A sequence's place. `start` is called once, when it may enter the engine."""

    tokens: int
    start: Callable[[], None]
    running: bool = False
    left: bool = False


class Admission:
    """The queue before one engine. While closed, nothing enters the engine, but the queue still
    takes."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        # A dict, for its order and since any ticket may leave at any time.
        self._queue: dict[Ticket, None] = {}
        self._open = False
        self._speed = TOKENS_PER_S_START
        self.running = 0
        self.tokens = 0

    @property
    def waiting(self) -> int:
        """Sequences that have a place and wait."""
        return len(self._queue)

    def enter(self, costs: list[tuple[int, Callable[[], None]]]) -> list[Ticket]:
        """Takes all of a request's sequences, or none of them.

        A request that is too large for the bounds by itself still passes when nothing else is
        there, so that no request the model could answer is refused for ever. Raises
        ResourceExhausted.
        """
        tokens = sum(cost for cost, _ in costs)
        count = self.running + self.waiting
        full = (
            count + len(costs) > self._limits.sequences_max
            or self.tokens + tokens > self._limits.tokens_max
        )
        if full and count:
            raise self._refusal()
        tickets = [Ticket(cost, start) for cost, start in costs]
        self.tokens += tokens
        self._queue.update(dict.fromkeys(tickets))
        self._advance()
        return tickets

    def leave(self, ticket: Ticket) -> None:
        """Gives a place back, from the queue or from the engine. Safe to repeat."""
        if ticket.left:
            return
        ticket.left = True
        self.tokens -= ticket.tokens
        if ticket.running:
            self.running -= 1
        else:
            del self._queue[ticket]
        self._advance()

    def open(self) -> None:
        """Lets sequences into the engine."""
        self._open = True
        self._advance()

    def close(self) -> None:
        """Lets none into the engine until `open`."""
        self._open = False

    def observe(self, tokens: int, seconds: float) -> None:
        """Learns the engine's speed, for the guess that a refusal carries."""
        if seconds > 0:
            self._speed += SPEED_GAIN * (tokens / seconds - self._speed)

    def _advance(self) -> None:
        while self._open and self._queue and self.running < self._limits.running_max:
            ticket = next(iter(self._queue))
            del self._queue[ticket]
            ticket.running = True
            self.running += 1
            ticket.start()

    def _refusal(self) -> ResourceExhausted:
        count = self.running + self.waiting
        wait_s = self.tokens / max(self._speed, 1.0) / count
        wait_s = round(min(max(wait_s, RETRY_AFTER_S_MIN), RETRY_AFTER_S_MAX), 1)
        return ResourceExhausted(
            f"This model is busy: {count} answers are in work or waiting. "
            f"Try again in {wait_s:g} s.",
            reason="QUEUE_FULL",
            metadata={"tokens": str(self.tokens), "tokens_max": str(self._limits.tokens_max)},
            retry_after_s=wait_s,
        )
