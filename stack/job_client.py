"""Jobs and feedback as the command line calls them; a watch outlives the service's restarts."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import grpc
from parley.jobs.v1 import feedback_pb2_grpc, jobs_pb2_grpc
from parley.jobs.v1 import jobs_pb2 as pb

from stack.errors import Exit, StackError
from stack.mesh import Client, Unanswered, caller

PAUSE_S = 0.5
# A service that restarts is back within seconds.
AWAY_S = 120.0
STREAM_S = 3600.0
ENDED = (pb.JOB_STATE_CANCELLED, pb.JOB_STATE_SUCCEEDED, pb.JOB_STATE_FAILED)


class Jobs(Client):
    """A connection to the jobs service."""

    name: ClassVar = "jobs service"
    mends: ClassVar = {grpc.StatusCode.NOT_FOUND: "See which there are: ./parley jobs list"}

    def __init__(self, address: str, api_key: str) -> None:
        super().__init__(address, api_key, jobs_pb2_grpc.JobsStub)

    def job(self, job_id: str) -> pb.Job:
        """One job. Raises StackError."""
        return self.call("GetJob", pb.GetJobRequest(id=job_id)).job

    def watch(self, job_id: str, revision: int = 0) -> Iterator[pb.WatchJobResponse]:
        """The job, its events after `revision`, and the job at its end.

        A stream that drops is taken up again after the last event. Raises StackError.
        """
        asked = pb.WatchJobRequest(id=job_id, revision=revision)
        job, away_since_s = None, 0.0
        while True:
            try:
                for message in self._watch_once(asked):
                    away_since_s = 0.0
                    job = message.job if message.HasField("job") else job
                    asked.revision = max(asked.revision, message.event.revision)
                    yield message
                if job is not None and job.state in ENDED:
                    return
            except Unanswered:
                away_since_s = away_since_s or time.monotonic()
                if job is None or time.monotonic() - away_since_s > AWAY_S:
                    raise
            time.sleep(PAUSE_S)

    def _watch_once(self, asked: pb.WatchJobRequest) -> Iterator[pb.WatchJobResponse]:
        with self.failures():
            call = self._stub.WatchJob(asked, timeout=STREAM_S, metadata=self._metadata())
            try:
                for message in call:
                    if message.HasField("job") or message.event.revision > asked.revision:
                        yield message
            finally:
                call.cancel()


class Feedback(Client):
    """A connection to the feedback service."""

    name: ClassVar = "feedback service"

    def __init__(self, address: str, api_key: str) -> None:
        super().__init__(address, api_key, feedback_pb2_grpc.FeedbackStub)


@contextmanager
def connect(as_name: str | None = None) -> Iterator[Jobs]:
    """The jobs service of the running stack, with the key of `as_name` or the common API key.

    Raises StackError when no stack runs or there is no such key.
    """
    _, running, key = caller(as_name)
    with Jobs(running.mesh_address, key) as jobs:
        yield jobs


@contextmanager
def connect_feedback(as_name: str | None = None) -> Iterator[Feedback]:
    """The same, for the feedback service."""
    _, running, key = caller(as_name)
    with Feedback(running.mesh_address, key) as feedback:
        yield feedback


def data_of(text: str) -> str:
    """Where data are, as jobs take it. Raises StackError for a file that is not there."""
    from pathlib import Path

    if text.startswith(("s3://", "file:///", "sha256:")):
        return text
    if len(text) == 64 and all(digit in "0123456789abcdef" for digit in text):
        return f"sha256:{text}"
    path = Path(text).expanduser()
    if path.is_file():
        return str(path.absolute())
    raise StackError(
        f"There is no file {text}.",
        mend="Name a file, s3://bucket/key, or the SHA-256 of a stored dataset.",
        code=Exit.USAGE,
    )
