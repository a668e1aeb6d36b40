"""Who may enter: a first-in first-out queue with bounds on sequences and on tokens.

Each sequence promises its prompt's and its answer's tokens. What would exceed the bounds, or would
wait too long, is refused at once, with a guess at when it may pass: a queue that is longer than its
callers' patience has the engine work for those who have left. A queue that stands is kept short: it
makes everybody wait and brings no answer sooner. Pure: no clock of its own, no I/O.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from services.rpc.errors import ResourceExhausted

RETRY_AFTER_S_MIN, RETRY_AFTER_S_MAX = 1.0, 30.0
# Used for the guess until the first answers have shown this engine's speed.
TOKENS_PER_S_START = 100.0
# Weight of the newest second in the running mean of the speed.
SPEED_GAIN = 0.2
# Weight of the newest answer in the running mean of their lengths.
LENGTH_GAIN = 0.05
# A queue that empties takes in bursts; one that has not for as long as anybody may wait is no
# burst, and newcomers may then wait for this share of it only. As in "Fail at Scale" (Maurer, ACM
# Queue 13:8, 2015) and CoDel (RFC 8289), whose shares of 1/20 and 1/10 to 1/20 are for services
# that answer at once; an engine is to stay full from one end of an answer to the next.
STANDING_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one engine. `running_max` sequences sample at a time, the others wait, none of them
    longer than about `wait_s_max`, nor than a fifth of it once some have waited for as long."""

    running_max: int
    sequences_max: int
    tokens_max: int
    wait_s_max: float = inf


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
        # Of a full engine: a lone answer's speed says little about many.
        self._full_speed = 0.0
        self._full_since_seen = False
        self._length = 0.0
        self._standing_s = 0.0
        self._stands = False
        self.running = 0
        self.tokens = 0

    @property
    def waiting(self) -> int:
        """Sequences that have a place and wait."""
        return len(self._queue)

    def check(self, sequences: int) -> None:
        """Refuses a request of so many sequences that `enter` would refuse whatever its tokens: for
        those who would take long to count them. Raises ResourceExhausted."""
        self._refuse_if_busy(sequences, tokens=0, wait_s=self._wait_s(sequences))

    def enter(
        self, costs: list[tuple[int, Callable[[], None]]], *, resumed: bool = False
    ) -> list[Ticket]:
        """Takes all of a request's sequences, or none of them.

        A request that is too large for the bounds by itself still passes when nothing else is
        there, so that no request the model could answer is refused for ever. One that is `resumed`
        may wait however long, since its caller has half of the answer. Raises ResourceExhausted.
        """
        tokens = sum(cost for cost, _ in costs)
        wait_s = 0.0 if resumed else self._wait_s(len(costs))
        self._refuse_if_busy(len(costs), tokens, wait_s)
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
        self._full_since_seen &= self._is_full()

    def open(self) -> None:
        """Lets sequences into the engine."""
        self._open = True
        self._advance()

    def close(self) -> None:
        """Lets none into the engine until `open`."""
        self._open = False
        self._forget_standing()

    def observe(self, tokens: int, seconds: float) -> None:
        """Learns the engine's speed from what it sampled since the last call, and how long the
        queue has stood."""
        if seconds <= 0:
            return
        if self._stands:
            self._standing_s += seconds
        self._stands = self._open and bool(self._queue)
        speed = tokens / seconds
        self._speed += SPEED_GAIN * (speed - self._speed)
        if self._full_since_seen and self._is_full():
            gain = SPEED_GAIN if self._full_speed else 1.0
            self._full_speed += gain * (speed - self._full_speed)
        self._full_since_seen = self._is_full()

    def ended(self, tokens: int) -> None:
        """Learns how long answers are, from one that has ended or was left."""
        gain = LENGTH_GAIN if self._length else 1.0
        self._length += gain * (tokens - self._length)

    def _advance(self) -> None:
        while self._open and self._queue and self.running < self._limits.running_max:
            ticket = next(iter(self._queue))
            del self._queue[ticket]
            ticket.running = True
            self.running += 1
            ticket.start()
        if not self._queue:
            self._forget_standing()

    def _forget_standing(self) -> None:
        self._standing_s, self._stands = 0.0, False

    @property
    def _wait_s_max(self) -> float:
        most_s = self._limits.wait_s_max
        return most_s if self._standing_s < most_s else most_s * STANDING_SHARE

    def _is_full(self) -> bool:
        return self.running >= self._limits.running_max

    def _wait_s(self, sequences: int) -> float:
        """How long the last of so many new sequences would wait, as far as is known: each place
        before it comes free when an answer of usual length ends. In seconds."""
        places = self.running + self.waiting + sequences - self._limits.running_max
        if places <= 0 or not self._full_speed:
            return 0.0
        return places * self._length / self._full_speed

    def _refuse_if_busy(self, sequences: int, tokens: int, wait_s: float) -> None:
        count = self.running + self.waiting
        full = (
            count + sequences > self._limits.sequences_max
            or self.tokens + tokens > self._limits.tokens_max
            or wait_s > self._wait_s_max
        )
        if full and count:
            raise self._refusal(wait_s - self._wait_s_max)

    def _refusal(self, too_long_s: float) -> ResourceExhausted:
        count = self.running + self.waiting
        wait_s = max(self.tokens / max(self._speed, 1.0) / count, too_long_s)
        wait_s = round(min(max(wait_s, RETRY_AFTER_S_MIN), RETRY_AFTER_S_MAX), 1)
        return ResourceExhausted(
            f"This model is busy: {count} answers are in work or waiting. "
            f"Try again in {wait_s:g} s.",
            reason="QUEUE_FULL",
            metadata={"tokens": str(self.tokens), "tokens_max": str(self._limits.tokens_max)},
            retry_after_s=wait_s,
        )
