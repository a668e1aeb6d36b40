"""One generation: the gRPC call, its retries before it starts, its deadline and its end.

The facade is the only layer that retries, and only what cannot have produced anything: UNAVAILABLE
before Started. What it hands out is checked: tokens without gap or repeat, and no end without a
Finished for every choice. Knows no HTTP and no JSON.
"""

import asyncio
import time
from collections.abc import Callable

import grpc
from parley.serving.v1 import model_serving_pb2 as pb

from gateway import metrics
from services.rpc import errors

BACKOFF_S_FIRST = 0.1
BACKOFF_S_MAX = 1.0
# A complete answer's status follows its last event at once; past this nobody waits for it.
STATUS_WAIT_S = 1.0
_REASONS = frozenset({pb.FINISH_REASON_STOP, pb.FINISH_REASON_LENGTH})

Call = grpc.aio.UnaryStreamCall


class Generation:
    """Reads one Generate stream. Cancelling a coroutine of it cancels the call."""

    def __init__(
        self,
        start: Callable[[float], Call],
        *,
        choices: int,
        deadline_s: float,
        retry_s: float,
        keep_text: bool = False,
    ) -> None:
        """`start` makes the call with what is left of `deadline_s`, which counts from now.

        With `keep_text` it remembers what it hands out.
        """
        self._start = start
        self._retry_s = retry_s
        self._ends_s = _now_s() + deadline_s
        self._positions = [0] * choices
        self._open = set(range(choices))
        self._call: Call | None = None
        self._texts: list[list[str]] | None = [[] for _ in range(choices)] if keep_text else None
        # What it came to so far, for those who look at it afterwards.
        self.began_ns = time.time_ns()
        self.failure: errors.ParleyError | None = None
        self.started: pb.Started | None = None
        self.finished: list[pb.Finished] = []

    @property
    def done(self) -> bool:
        """Whether every choice is finished."""
        return not self._open

    @property
    def texts(self) -> list[str]:
        """Each choice's text so far; none unless it was to be kept."""
        return ["".join(pieces) for pieces in self._texts or ()]

    async def begin(self) -> pb.Started:
        """Waits for admission, for `retry_s` through UNAVAILABLE. Raises ParleyError."""
        try:
            return await self._begin()
        except errors.ParleyError as error:
            self.failure = error
            raise

    async def _begin(self) -> pb.Started:
        give_up_s = min(_now_s() + self._retry_s, self._ends_s)
        delay_s = BACKOFF_S_FIRST
        while True:
            try:
                return await self._admitted()
            except errors.Unavailable as error:
                wait_s = max(delay_s, error.retry_after_s or 0)
                if _now_s() + wait_s > give_up_s:
                    raise
            metrics.RETRIES.inc()
            await asyncio.sleep(wait_s)
            delay_s = min(delay_s * 2, BACKOFF_S_MAX)

    async def read(self) -> pb.GenerateResponse:
        """The next Delta or Finished; only to be called until `done`. Raises ParleyError."""
        try:
            event = await self._event()
            if event.HasField("delta"):
                self._take_delta(event.delta)
            elif event.HasField("finished"):
                self._take_finished(event.finished)
            else:
                raise _broken("an event of no kind")
        except errors.ParleyError as error:
            self.failure = error
            raise
        return event

    async def close(self) -> None:
        """Ends the call: takes the status of a complete answer, cancels any other. Never fails."""
        if self._call is None:
            return
        if self.done:
            try:
                async with asyncio.timeout(STATUS_WAIT_S):
                    await self._call.read()
            except (grpc.aio.AioRpcError, TimeoutError):
                pass
        self._call.cancel()

    async def _admitted(self) -> pb.Started:
        self._call = self._start(self._ends_s - _now_s())
        event = await self._event()
        if not event.HasField("started"):
            raise _broken("no Started")
        self.started = event.started
        return event.started

    async def _event(self) -> pb.GenerateResponse:
        try:
            event = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise errors.from_rpc_error(error) from None
        if event is grpc.aio.EOF:
            raise _broken("an early end")
        return event

    def _take_delta(self, delta: pb.Delta) -> None:
        choice = delta.choice
        if choice not in self._open or delta.position != self._positions[choice]:
            raise _broken("a gap")
        self._positions[choice] += len(delta.token_ids)
        if self._texts is not None:
            self._texts[choice].append(delta.text)

    def _take_finished(self, finished: pb.Finished) -> None:
        if finished.choice not in self._open or finished.reason not in _REASONS:
            raise _broken("a wrong end")
        self._open.remove(finished.choice)
        self.finished.append(finished)


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def _broken(what: str) -> errors.Internal:
    return errors.Internal(
        f"The answer's stream had {what}, so it cannot be trusted. Ask again.",
        reason="STREAM_BROKEN",
    )
