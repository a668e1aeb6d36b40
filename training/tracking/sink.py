"""What a place that keeps runs can be told, and a thread that tells it without holding anyone up.

Calls wait in a bounded queue; one that finds it full is dropped. A place that fails is given up
after a few failures in a row, with one warning. Knows neither MLflow nor W&B.
"""

import queue
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

WAITING_MAX = 1000
FAILURES_MAX = 3
CLOSE_S = 5.0
_END = object()


@dataclass(frozen=True)
class RunStart:
    """The run of one job, as it begins or goes on."""

    job_id: str
    experiment: str
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """Models beside each other: a table, and its picture."""

    names: tuple[str, ...]
    metrics: dict[str, tuple[float | None, ...]]
    """Metric to its value for each name; None where it was not measured."""
    picture: Path


class Sink(Protocol):
    """A place that keeps runs. Every call may block, and may raise anything."""

    def open(self, start: RunStart) -> str:
        """Finds the job's run or makes it, and returns its id."""

    def log_metrics(self, step: int, values: dict[str, float]) -> None:
        """Adds values to the curves."""

    def log_dataset(self, digest: str, uri: str, context: str) -> None:
        """Names the data that went in."""

    def log_comparison(self, comparison: Comparison) -> None:
        """Adds the table and its picture."""

    def set_tag(self, name: str, value: str) -> None:
        """Adds a tag."""

    def close(self, has_ended: bool, is_failed: bool) -> None:
        """Lets go of the run; ends it too when the job's last task that writes to it is done."""

    def abandon(self) -> None:
        """Ends what would hold up the end of this process. Never blocks; others may be at work."""


class Outlet:
    """One sink with its thread. Only `run_id` and `close` wait, and not for long.

    Who has waited in vain for the run waits no more at the end, where nothing was told.
    """

    def __init__(self, name: str, make: Callable[[], Sink], start: RunStart) -> None:
        self._name, self._make, self._start = name, make, start
        self._queue: queue.Queue[Any] = queue.Queue(WAITING_MAX)
        self._run_id = ""
        self._sink: Sink | None = None
        self._is_late = False
        self._opened = threading.Event()
        self._done = threading.Event()
        self._is_given_up = False
        self._has_dropped = False
        # A daemon: what hangs in a library does not keep the process.
        self._thread = threading.Thread(target=self._run, name=f"track-{name}", daemon=True)
        self._thread.start()

    def run_id(self, within_s: float) -> str:
        """The run's id, or "" when there is none within a while."""
        self._is_late = not self._opened.wait(within_s)
        return self._run_id

    def tell(self, call: Callable[[Sink], None]) -> None:
        """Has the sink told when it comes to it."""
        if self._is_given_up:
            return
        try:
            self._queue.put_nowait(call)
        except queue.Full:
            if not self._has_dropped:
                self._has_dropped = True
                self._warn("is too slow; some of what it should keep is dropped")

    def close(self, has_ended: bool, is_failed: bool, within_s: float = CLOSE_S) -> None:
        """Lets what waits be told, for at most a while, and ends."""
        waits = self._opened.is_set() or not self._is_late
        end_s = time.monotonic() + (within_s if waits else 0.0)
        self.tell(lambda sink: sink.close(has_ended, is_failed))
        is_told = self._end(end_s)
        if not is_told and not self._is_given_up:
            self._warn("did not take all within its time; the rest is dropped")
        if (not is_told or self._is_given_up) and self._sink is not None:
            self._sink.abandon()

    def _end(self, end_s: float) -> bool:
        """Whether all that waits is told by then."""
        try:
            self._queue.put(_END, timeout=max(0.0, end_s - time.monotonic()))
        except queue.Full:
            return False
        return self._done.wait(max(0.0, end_s - time.monotonic()))

    def _run(self) -> None:
        try:
            sink = self._sink = self._make()
            self._run_id = sink.open(self._start)
        except Exception as error:
            self._give_up(error)
            return
        finally:
            self._opened.set()
        failures = 0
        while (call := self._queue.get()) is not _END:
            try:
                call(sink)
                failures = 0
            except Exception as error:
                failures += 1
                if failures >= FAILURES_MAX:
                    self._give_up(error)
                    return
        self._done.set()

    def _give_up(self, error: Exception) -> None:
        self._is_given_up = True
        self._warn(f"cannot be told: {type(error).__name__}: {str(error)[:200]}")
        # Last, since the process may end as soon as it hears of it.
        self._done.set()

    def _warn(self, what: str) -> None:
        print(f"{self._name} {what}. The job goes on.", file=sys.stderr, flush=True)
