"""A job's messages from its service, through streams that drop. Knows no HTTP."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import grpc
import structlog
from google.protobuf.message import Message
from parley.jobs.v1 import jobs_pb2 as pb

from services.rpc import errors

log = structlog.get_logger()

# A stream is taken up anew after this, so that none is older than its deadline.
STREAM_S = 3600.0
PAUSE_S, PAUSE_S_MAX = 0.25, 5.0
# In a row and without an event between them; about five minutes of them.
DROPS_MAX = 60
JOB, END = "job", "end"
ENDED = (pb.JOB_STATE_CANCELLED, pb.JOB_STATE_SUCCEEDED, pb.JOB_STATE_FAILED)
_PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
Open = Callable[[pb.WatchJobRequest, float], grpc.aio.UnaryStreamCall]
Told = tuple[str, Message]


class JobWatch:
    """Follows one job from a revision on. Made for one reader, used once."""

    def __init__(self, open_stream: Open, job_id: str, revision: int) -> None:
        self._open = open_stream
        self._asked = pb.WatchJobRequest(id=job_id, revision=revision)
        self._job: pb.Job | None = None
        self._drops = 0

    async def messages(self) -> AsyncGenerator[Told]:
        """The job as it is, its events by their kind, and the job at its end.

        A stream that drops is taken up again after the last event. Raises ParleyError: before the
        first message any, later only when the service stays away.
        """
        while True:
            try:
                async with aclosing(self._stream()) as stream:
                    async for told in stream:
                        yield told
                if self._job is not None and self._job.state in ENDED:
                    yield END, self._job
                    return
                await self._pause(errors.Unavailable("The stream ended.", reason="STREAM_ENDED"))
            except grpc.aio.AioRpcError as error:
                await self._pause(errors.from_rpc_error(error))

    async def _stream(self) -> AsyncGenerator[Told]:
        call = self._open(self._asked, STREAM_S)
        try:
            async for message in call:
                if message.HasField("job"):
                    is_first, self._job = self._job is None, message.job
                    if is_first:
                        yield JOB, message.job
                elif message.event.revision > self._asked.revision:
                    self._asked.revision = message.event.revision
                    self._drops = 0
                    yield message.event.WhichOneof("what") or "unknown", message.event
        finally:
            call.cancel()

    async def _pause(self, error: errors.ParleyError) -> None:
        """Waits before the next attempt. Raises `error` when there is to be none."""
        self._drops += 1
        if self._job is None or error.code not in _PASSING or self._drops > DROPS_MAX:
            raise error from None
        log.info("watch dropped", reason=error.reason, drops=self._drops)
        await asyncio.sleep(min(PAUSE_S * 2 ** min(self._drops - 1, 8), PAUSE_S_MAX))
