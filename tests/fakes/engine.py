"""An engine whose tokens are scripted and whose steps the test takes.

It keeps the rules of the protocol: it takes sequences only while ready and each id once, ends one
at its end token or at `tokens_max`, says nothing of what was cancelled, and forgets everything when
it dies.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import repeat

from services.serving.engine import Death, Listener, Load, Progress, SequenceRequest

LOGPROB = -0.25
# What a sequence without a script says, over and over.
DEFAULT_ID = 65


@dataclass
class _Sequence:
    request: SequenceRequest
    ids: Iterator[int]
    tokens: int = 0


@dataclass
class FakeEngine:
    """Implements `services.serving.engine.Engine`. With `automatic` it steps by itself."""

    automatic: bool = False
    ready: bool = False
    failed: bool = False
    restarts: int = 0
    submitted: list[SequenceRequest] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)
    _scripts: deque[Sequence[int]] = field(default_factory=deque)
    _active: dict[int, _Sequence] = field(default_factory=dict)
    _listener: Listener | None = None

    @property
    def load(self) -> Load:
        """The sequences it works on."""
        return Load(len(self._active), min(len(self._active) / 10, 1.0))

    def script(self, *answers: Sequence[int]) -> None:
        """Says what the next sequences answer, one each."""
        self._scripts += answers

    def start(self, listener: Listener) -> None:
        """Keeps the listener; `become_ready` is up to the test."""
        assert self._listener is None, "an engine is started once"
        self._listener = listener

    async def close(self) -> None:
        """Ends without a word."""
        self._listener = None
        self._active.clear()

    def submit(self, sequence: SequenceRequest) -> None:
        """Takes a sequence, or fails the test where the protocol forbids it."""
        assert self.ready, "submitted to an engine that is not ready"
        assert sequence.id not in {known.id for known in self.submitted}, "an id came twice"
        assert sequence.tokens_max >= 1
        assert sequence.prompt_ids
        self.submitted.append(sequence)
        ids = iter(self._scripts.popleft()) if self._scripts else repeat(DEFAULT_ID)
        self._active[sequence.id] = _Sequence(sequence, ids)
        if self.automatic and len(self._active) == 1:
            asyncio.get_running_loop().call_soon(self._keep_stepping)

    def cancel(self, sequence_id: int) -> None:
        """Ends a sequence, and notes that it was still at work."""
        if self._active.pop(sequence_id, None) is not None:
            self.cancelled.append(sequence_id)

    def step(self, times: int = 1) -> None:
        """Samples one token for each sequence that still has some in its script."""
        for _ in range(times):
            found = [row for row in map(self._sample, list(self._active.values())) if row]
            self._listener.on_progress(found)

    def become_ready(self) -> None:
        """Ends a start."""
        self.ready = True
        self._listener.on_ready()

    def die(self, *, culprit: int | None = None, final: bool = False) -> None:
        """Loses everything."""
        self.ready = False
        self.failed = final
        self.restarts += 1
        self._active.clear()
        self._listener.on_death(Death(culprit, final))

    def refuse(self, sequence_id: int) -> None:
        """Throws a sequence out."""
        del self._active[sequence_id]
        self._listener.on_refused(sequence_id)

    def lose(self, sequence_id: int) -> None:
        """Cannot go on with a sequence."""
        del self._active[sequence_id]
        self._listener.on_lost(sequence_id)

    def _sample(self, sequence: _Sequence) -> Progress | None:
        request = sequence.request
        token_id = next(sequence.ids, None)
        if token_id is None:
            return None
        sequence.tokens += 1
        finish = "length" if sequence.tokens == request.tokens_max else ""
        finish = "stop" if token_id in request.end_ids else finish
        if finish:
            del self._active[request.id]
        return Progress(request.id, [token_id], [LOGPROB] * request.logprobs, finish)

    def _keep_stepping(self) -> None:
        if self._active and self.ready:
            self.step()
            asyncio.get_running_loop().call_soon(self._keep_stepping)
