"""Tells Jobs once a second how far a task has come, and hears from it when to stop.

A report that fails is kept and sent again, with the same number, before newer ones; what piles up
meanwhile is bounded. Knows nothing of what the task does.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import grpc
from parley.jobs.v1 import jobs_pb2 as pb
from parley.jobs.v1.jobs_pb2_grpc import JobsStub

INTERVAL_S = 1.0
CALL_S = 2.0
STOP_S = 1.5
"""How long the work may take to end by itself once Jobs told it to stop."""
SIGNAL_S = 20.0
"""The same after a signal: there is time for a checkpoint then."""
EXIT_STOPPED = 75  # EX_TEMPFAIL of BSD's sysexits.h
_POLL_S = 0.05
_KEPT_MAX = 4096
_SENT_MAX = 256
_LINE_CHARACTERS_MAX = 2000
_LAST_S = 8.0
_RETRY_S = 0.2

Send = Callable[[pb.ReportProgressRequest], pb.ReportProgressResponse]


class Reporter:
    """One attempt at one task, as Jobs sees it."""

    def __init__(
        self, job_id: str, task: str, send: Send | None, leave: Callable[[int], Any] = os._exit
    ) -> None:
        self._job_id, self._task, self._send, self._leave = job_id, task, send, leave
        self._attempt = str(uuid4())
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._sequence = 0
        self._unsent: pb.ReportProgressRequest | None = None
        self._percent: float | None = None
        self._message = ""
        self._metrics: deque[pb.MetricsEvent] = deque(maxlen=_KEPT_MAX)
        self._lines: deque[str] = deque(maxlen=_KEPT_MAX)
        self._result = pb.JobResult()
        self._stopping = threading.Event()
        self._stop_s = SIGNAL_S
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reports", daemon=True)

    def start(self) -> None:
        """Says that this attempt has begun, so that an older one gives way, and goes on."""
        self.flush()
        self._thread.start()

    def is_stopping(self) -> bool:
        """Whether the work must end."""
        return self._stopping.is_set()

    def stop(self, within_s: float = SIGNAL_S) -> None:
        """Has the work end by itself within a while; then the process goes."""
        self._stop_s = min(self._stop_s, within_s)
        self._stopping.set()

    def progress(self, share: float, message: str = "") -> None:
        """How far the task has come, from 0 to 1."""
        with self._lock:
            self._percent = round(100 * min(max(share, 0.0), 1.0), 2)
            self._message = message[:1000] or self._message

    def metrics(self, step: int, values: dict[str, float]) -> None:
        """What was measured at a step."""
        with self._lock:
            self._metrics.append(pb.MetricsEvent(step=step, values=values))

    def line(self, text: str) -> None:
        """A line for people; it goes to the task's own log too."""
        print(text, flush=True)
        with self._lock:
            self._lines.append(text[:_LINE_CHARACTERS_MAX])

    def result(self, **fields: Any) -> None:
        """What has come of the job so far."""
        with self._lock:
            self._result.MergeFrom(pb.JobResult(**fields))

    def close(self, error: tuple[str, str] | None = None) -> None:
        """Sends what is left, and why the job cannot succeed, if that is so."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join(CALL_S + INTERVAL_S)
        self._insist(self.flush)
        if error is not None:
            with self._lock:
                self._unsent = None
                last = self._next()
            last.error.CopyFrom(
                pb.JobError(reason=error[0], message=error[1][:4000], task=self._task)
            )
            self._insist(lambda: self._deliver(last))

    def _insist(self, send: Callable[[], bool]) -> None:
        """Sends what must not be lost: Jobs may be starting again just now."""
        deadline = time.monotonic() + _LAST_S
        while not send() and not self.is_stopping() and time.monotonic() < deadline:
            time.sleep(_RETRY_S)

    def flush(self) -> bool:
        """Sends what there is; whether it arrived."""
        with self._sending:
            while True:
                with self._lock:
                    self._unsent = self._unsent or self._next()
                    more = bool(self._metrics or self._lines)
                if not self._deliver(self._unsent):
                    return False
                self._unsent = None
                if not more:
                    return True

    def _run(self) -> None:
        while not self._ended.wait(INTERVAL_S):
            self.flush()
            if self.is_stopping():
                self._leave_in_time()
                return

    def _leave_in_time(self) -> None:
        """The work may leave well, with a checkpoint; else the process goes."""
        began_s = time.monotonic()
        while not self._ended.wait(_POLL_S):
            if time.monotonic() - began_s > self._stop_s:
                self._leave(EXIT_STOPPED)
                return

    def _next(self) -> pb.ReportProgressRequest:
        self._sequence += 1
        new = pb.ReportProgressRequest(
            job_id=self._job_id,
            task=self._task,
            attempt=self._attempt,
            sequence=self._sequence,
            message=self._message,
            metrics=_taken(self._metrics),
            lines=_taken(self._lines),
            result=self._result,
        )
        if self._percent is not None:
            new.percent = self._percent
        return new

    def _deliver(self, report: pb.ReportProgressRequest) -> bool:
        if self._send is None:
            return True
        try:
            told = self._send(report)
        except grpc.RpcError as error:
            # Unknown to Jobs: it will never be known, so nothing is kept for it.
            return error.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT)
        if told.stop and not self._stopping.is_set():
            print(f"told to stop: {told.reason}", flush=True)
            self.stop(STOP_S)
        return True


def open_send(address: str) -> Send | None:
    """Reports over gRPC; None where no Jobs is named."""
    if not address:
        return None
    stub = JobsStub(grpc.insecure_channel(address))
    return lambda report: stub.ReportProgress(report, timeout=CALL_S)


def _taken(kept: deque[Any]) -> list[Any]:
    return [kept.popleft() for _ in range(min(len(kept), _SENT_MAX))]
