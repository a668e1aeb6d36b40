"""Which replica a conversation goes to: the one that holds what was computed of it before.

`prefer` is the rule. `Affinity` is what the facade remembers for it: who holds which conversation,
and how many of the facade's own calls each replica has. It forgets both, and may be wrong: then a
prompt is computed anew. Nothing but time depends on it. Knows no gRPC and no clock of its own.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b

CONVERSATIONS_MAX = 10_000
# Many more than a mesh has; names that no longer come must not gather.
REPLICAS_MAX = 256
DRAW_BYTES = 8


def prefer(holder: str | None, in_flight: Mapping[str, int], margin: int) -> str | None:
    """The replica to ask first, or None to leave that to the mesh.

    It is the holder, unless that has over `margin` calls more than the least busy replica: there,
    waiting would take longer than computing the prompt elsewhere. Who is in no count has no calls.
    """
    if holder is None:
        return None
    least = min(in_flight.values(), default=0)
    return holder if in_flight.get(holder, 0) - least <= margin else None


def draw_of(key: str) -> int:
    """A conversation's place from 0 to 2^64 - 1, the same in every process, by which the mesh draws
    a version: so that it stays with one while the weights do."""
    return int.from_bytes(blake2b(key.encode(), digest_size=DRAW_BYTES).digest())


@dataclass(frozen=True, slots=True)
class Conversation:
    """What requests of one conversation have in common."""

    model: str
    draw: int


class Affinity:
    """The facade's memory of replicas. Everything runs on one event loop."""

    def __init__(self, margin: int, keep_s: float, now_s: Callable[[], float]) -> None:
        """Conversations and idle replicas are forgotten after `keep_s`, by the clock `now_s`."""
        self._margin = margin
        self._keep_s = keep_s
        self._now_s = now_s
        # Longest untouched first, each with when it was touched.
        self._holders: OrderedDict[Conversation, tuple[str, float]] = OrderedDict()
        self._heard: OrderedDict[str, float] = OrderedDict()
        self._calls: dict[str, int] = {}

    def preferred(self, conversation: Conversation | None) -> str | None:
        """The replica to ask first, or None."""
        return prefer(self.holder(conversation), self.in_flight(), self._margin)

    def holder(self, conversation: Conversation | None) -> str | None:
        """Who answered the conversation last, if that was within `keep_s`."""
        name, at_s = self._holders.get(conversation, (None, 0.0))
        return name if name is not None and self._now_s() - at_s < self._keep_s else None

    def in_flight(self) -> dict[str, int]:
        """The facade's own calls on each replica that was heard of within `keep_s`, or has any."""
        oldest_s = self._now_s() - self._keep_s
        return {
            name: self._calls.get(name, 0)
            for name, at_s in self._heard.items()
            if at_s > oldest_s or name in self._calls
        }

    def answers(self, conversation: Conversation | None, replica: str) -> None:
        """Notes that a replica answers, and holds the conversation from now on."""
        now_s = self._now_s()
        self._heard[replica] = now_s
        self._heard.move_to_end(replica)
        if len(self._heard) > REPLICAS_MAX:
            self._heard.popitem(last=False)
        if conversation is not None and self._keep_s:
            self._holders[conversation] = replica, now_s
            self._holders.move_to_end(conversation)
            if len(self._holders) > CONVERSATIONS_MAX:
                self._holders.popitem(last=False)

    def add(self, replica: str, calls: int) -> None:
        """Counts calls on a replica, or with -1 that one has ended."""
        count = self._calls.get(replica, 0) + calls
        if count:
            self._calls[replica] = count
        else:
            del self._calls[replica]


class Seat:
    """One call's place in the counts.

    A call that prefers a replica counts there from the beginning, so that a hundred of one
    conversation that come at once do not all find it idle.
    """

    def __init__(self, affinity: Affinity, replica: str | None) -> None:
        self._affinity = affinity
        self._replica = replica
        if replica is not None:
            affinity.add(replica, 1)

    def move(self, replica: str) -> None:
        """Takes the place of a call on the replica that it came to."""
        self.leave()
        self._replica = replica
        self._affinity.add(replica, 1)

    def leave(self) -> None:
        """Gives it up; safe to repeat."""
        if self._replica is not None:
            self._affinity.add(self._replica, -1)
            self._replica = None
