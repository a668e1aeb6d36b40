"""The frame around every task: settings, the job's folder, reports, the lock, the outcome.

    with a lock and a reporter, do the work once; a repeat finds what it came to.

Knows nothing of what the tasks do.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from training import settings as settings_of
from training.errors import JobFailure, Stopped
from training.quiet import folders, quiet_libraries
from training.settings import TrainingSettings
from training.tasks.reporter import Reporter, open_send
from training.tasks.workspace import Workspace

Json = dict[str, Any]
_REQUESTS: UUID = uuid5(NAMESPACE_URL, "https://parley.example/jobs")


@dataclass(frozen=True)
class Task:
    """What the work of one task has at hand."""

    job: Json
    name: str
    settings: TrainingSettings
    workspace: Workspace
    reporter: Reporter

    @property
    def conf(self) -> Json:
        """The fields of the job's spec by their names in its message."""
        conf: Json = self.job["conf"]
        return conf

    @property
    def folder(self) -> Path:
        """The job's folder."""
        return self.workspace.folder

    def request_id(self, what: str) -> str:
        """The id of a request that this task makes: a repeat has the same one."""
        return str(uuid5(_REQUESTS, f"{self.job['id']}/{self.name}/{what}"))

    def check(self) -> None:
        """Raises Stopped when the work must end."""
        if self.reporter.is_stopping():
            raise Stopped("told to end")

    def progress(self, share: float, message: str = "") -> None:
        """Reports how far the task has come, from 0 to 1. Raises Stopped when it must end."""
        self.reporter.progress(share, message)
        self.check()


def run(job: Json, name: str, work: Callable[[Task], Json]) -> Json:
    """Does a task, unless it is done, and returns what it came to.

    Raises what the work raises; a JobFailure is told to Jobs first.
    """
    settings = settings_of.read()
    workspace = Workspace(settings.work_dir, job["id"])
    reporter = Reporter(job["id"], name, open_send(settings.jobs_address))
    task = Task(job, name, settings, workspace, reporter)
    reporter.start()
    failure: tuple[str, str] | None = None
    try:
        with _signals(reporter), workspace.lock(task.check):
            outcome = workspace.outcome(name)
            if outcome is None:
                with quiet_libraries(), folders(settings.work_dir, settings.wandb_dir):
                    outcome = work(task)
                workspace.keep_outcome(name, outcome)
            reporter.progress(1.0)
            return outcome
    except JobFailure as error:
        reporter.line(f"{error.reason}: {error.message}")
        failure = error.reason, error.message
        raise
    except Stopped as error:
        raise SystemExit(f"stopped: {error}") from error
    except Exception as error:
        reporter.line(f"{type(error).__name__}: {error}")
        raise
    finally:
        reporter.close(failure)


@contextmanager
def _signals(reporter: Reporter) -> Iterator[None]:
    """Within the block SIGTERM has the work end by itself, with what it must keep."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: reporter.stop())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
