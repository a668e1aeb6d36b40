"""One generation: its calls, their retries and migrations, its deadline and its end.

The facade is the only layer that retries. Before Started that is UNAVAILABLE, which cannot have
produced anything. After it the answer migrates: when its replica is lost or silent, another one of
the same version goes on from the tokens that were handed out. What is handed out is checked: tokens
without gap or repeat, and no end without a Finished for every choice. Knows no HTTP and no JSON.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

import structlog
from parley.serving.v1 import model_serving_pb2 as pb

from gateway import metrics
from gateway.choices import Choice
from gateway.parts import Call, Part, Parts
from gateway.resuming import check_same, is_made_again, onward, refused, resumable
from services.rpc import errors
from services.rpc.durations import to_duration

log = structlog.get_logger()

BACKOFF_S_FIRST = 0.05
BACKOFF_S_MAX = 1.0
# Waits before the first migration of a request, the second and the third; there is no fourth.
MIGRATION_WAITS_S = (0.0, 0.25, 1.0)
# Reasons that the metrics tell apart; a replica's words for others are no label.
_REASONS = frozenset(
    {"CACHE_FULL", "ENGINE_DIED", "MODEL_UNLOADED", "REPLICA_SILENT", "UNAVAILABLE"}
)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a generation waits, in seconds: in all, for a first replica, for another one, and
    for the next token of a replica that has begun."""

    deadline_s: float
    retry_s: float
    resume_s: float
    silence_s: float


class Generation:
    """Makes one answer. Cancelling a coroutine of it cancels its calls."""

    def __init__(
        self,
        start: Callable[[pb.GenerateRequest, float], Call],
        asked: pb.GenerateRequest,
        patience: Patience,
        *,
        begun: Callable[[Call, pb.Started], None] = lambda call, started: None,
        keep_text: bool = False,
    ) -> None:
        """`start` makes a call with what is left of the deadline, which counts from now, and
        `begun` is told of each that is admitted.

        With `keep_text` it remembers what it hands out.
        """
        self._start = start
        self._begun = begun
        self._asked = resumable(asked)
        self._patience = patience
        self._ends_s = _now_s() + patience.deadline_s
        self._choices = [Choice(i, keep_text=keep_text) for i in range(asked.choices or 1)]
        self._parts = Parts()
        self._started_s = 0.0
        self._broke_s: float | None = None
        # What it came to so far, for those who look at it afterwards.
        self.began_ns = time.time_ns()
        self.failure: errors.ParleyError | None = None
        self.started: pb.Started | None = None
        self.finished: list[pb.Finished] = []
        self.migrations: list[str] = []

    @property
    def done(self) -> bool:
        """Whether every choice is finished."""
        return len(self.finished) == len(self._choices)

    @property
    def texts(self) -> list[str]:
        """Each choice's text so far; none unless it was to be kept."""
        return ["".join(choice.texts) for choice in self._choices if choice.texts is not None]

    async def begin(self) -> pb.Started:
        """Waits for admission, for `retry_s` through UNAVAILABLE. Raises ParleyError."""
        try:
            self.started = await self._admit(self._asked, self._choices, self._patience.retry_s)
        except errors.ParleyError as error:
            self.failure = error
            raise
        self._started_s = _now_s()
        return self.started

    async def read(self) -> pb.GenerateResponse:
        """The next Delta or Finished; only to be called until `done`. Raises ParleyError."""
        try:
            event = await self._read()
        except errors.ParleyError as error:
            self.failure = error
            raise
        if event.HasField("finished"):
            self._take_finished(event.finished)
        elif self._choices[event.delta.choice].first_s is None:
            self._choices[event.delta.choice].first_s = _now_s()
        if self._broke_s is not None:
            metrics.MIGRATION_STALL.observe(_now_s() - self._broke_s)
            self._broke_s = None
        return event

    async def close(self) -> None:
        """Ends all calls: takes the status of a complete answer, cancels any other. Never fails."""
        await self._parts.close()

    async def _read(self) -> pb.GenerateResponse:
        while True:
            # What only seems silent is worth a migration, never an error: the last one may be slow.
            last = len(self.migrations) == len(MIGRATION_WAITS_S)
            try:
                event = await self._parts.read(patient=last)
            except errors.Unavailable as error:
                await self._migrate(error)
                continue
            if event is not None:
                return event

    async def _migrate(self, cause: errors.Unavailable) -> None:
        """Has other replicas go on with what is not finished, or raises why that cannot be."""
        self._parts.drop()
        number = len(self.migrations)
        if number == len(MIGRATION_WAITS_S):
            raise cause
        self.migrations.append(cause.reason if cause.reason in _REASONS else "OTHER")
        metrics.MIGRATIONS.labels(self.migrations[-1]).inc()
        tokens = [len(choice.ids) for choice in self._choices]
        log.warning("generation migrates", number=number + 1, reason=cause.reason, tokens=tokens)
        if self._broke_s is None:
            self._broke_s = _now_s()
        await asyncio.sleep(MIGRATION_WAITS_S[number])
        try:
            await self._go_on()
        except (errors.Unavailable, errors.ResourceExhausted, errors.DeadlineExceeded):
            raise
        except errors.ParleyError as error:
            log.warning("generation cannot migrate", reason=error.reason)
            raise refused(error) from None

    async def _go_on(self) -> None:
        for choice in self._choices:
            if not choice.done:
                request = onward(self._asked, self.started, choice)
                started = await self._admit(request, [choice], self._patience.resume_s)
                check_same(self.started, started)

    async def _admit(
        self, request: pb.GenerateRequest, choices: Sequence[Choice], patience_s: float
    ) -> pb.Started:
        """Adds a call for some choices, and returns its Started.

        The patience begins with the first refusal: a replica that froze while the request waited
        there is noticed late, and by then another one may answer.
        """
        give_up_s = inf
        delay_s = BACKOFF_S_FIRST
        while True:
            part = self._call(request, choices)
            self._parts.add(part)
            try:
                started = await part.started()
                self._begun(part.call, started)
                return started
            except (errors.Unavailable, errors.ResourceExhausted) as error:
                give_up_s = min(give_up_s, _now_s() + patience_s, self._ends_s)
                wait_s = self._wait_s(error, delay_s)
                if wait_s is None or _now_s() + wait_s > give_up_s:
                    raise
            self._parts.remove(part)
            metrics.RETRIES.inc()
            await asyncio.sleep(wait_s)
            delay_s = min(delay_s * 2, BACKOFF_S_MAX)

    def _wait_s(self, error: errors.ParleyError, delay_s: float) -> float | None:
        """How long to wait before the next attempt, None for ever."""
        if self.started is not None:
            # The hint is one replica's, and the next attempt may meet another one.
            return delay_s
        if isinstance(error, errors.ResourceExhausted):
            return None
        return max(delay_s, error.retry_after_s or 0)

    def _call(self, request: pb.GenerateRequest, choices: Sequence[Choice]) -> Part:
        resumed = self.started is not None and not is_made_again(self._asked)
        call = self._start(request, self._ends_s - _now_s())
        return Part(call, choices, resumed=resumed, silence_s=self._patience.silence_s)

    def _take_finished(self, finished: pb.Finished) -> None:
        self.finished.append(finished)
        if self.migrations:
            # The replica's own times are of its part only.
            first_s = self._choices[finished.choice].first_s or _now_s()
            timings = finished.timings
            timings.first_token_duration.CopyFrom(to_duration(first_s - self._started_s))
            timings.total_duration.CopyFrom(to_duration(_now_s() - self._started_s))


def _now_s() -> float:
    return asyncio.get_running_loop().time()
