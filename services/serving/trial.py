"""New formats go to the engine one at a time, so that the one which breaks it is known.

The engine compiles a format in the middle of a step, and dies of one that it cannot compile. Only a
format whose answers have begun before goes to it at once. Pure; knows no process and no text.
"""

from collections import OrderedDict, deque

from services.serving.engine import SequenceRequest

# How many formats are known to compile; forgetting one only means that it waits for its turn again.
PROVEN_MAX = 1000


class Trial:
    """Which sequence may go to the engine now."""

    def __init__(self) -> None:
        self._proven: OrderedDict[int, None] = OrderedDict()
        self._held: deque[SequenceRequest] = deque()
        self._trying: SequenceRequest | None = None

    @property
    def trying(self) -> int | None:
        """The sequence whose format is new to the engine."""
        return self._trying.id if self._trying else None

    def enter(self, sequence: SequenceRequest) -> bool:
        """Whether the sequence may go now; else `settle` will name it when it may."""
        if sequence.format is None or hash(sequence.format) in self._proven:
            return True
        if self._trying is None:
            self._trying = sequence
            return True
        self._held.append(sequence)
        return False

    def drop(self, sequence_id: int) -> bool:
        """Forgets a sequence that is held back. Says whether it was."""
        kept = deque(held for held in self._held if held.id != sequence_id)
        dropped = len(kept) < len(self._held)
        self._held = kept
        return dropped

    def settle(self, sequence_id: int, *, proven: bool) -> list[SequenceRequest]:
        """Takes the engine's word on a sequence, and returns those that may go now."""
        if self._trying is None or self._trying.id != sequence_id:
            return []
        if proven:
            self._proven[hash(self._trying.format)] = None
            if len(self._proven) > PROVEN_MAX:
                self._proven.popitem(last=False)
        self._trying = None
        waiting, self._held = self._held, deque()
        return [sequence for sequence in waiting if self.enter(sequence)]

    def clear(self) -> None:
        """Forgets what is on its way, since the engine is gone."""
        self._trying = None
        self._held.clear()
