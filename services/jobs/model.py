"""What is spoken of here: jobs, their tasks, what happens to them, and runs as Airflow has them.

Plain frozen values. Knows no database, no Airflow and no wire.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

# Who submitted a run that was started in Airflow, unless the run says it.
AIRFLOW = "airflow"


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to it by itself."""
        return self in ENDED


ENDED = frozenset({JobState.CANCELLED, JobState.SUCCEEDED, JobState.FAILED})


class TaskState(StrEnum):
    """Where a task stands."""

    WAITING = "waiting"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"


class Ask(StrEnum):
    """What Airflow is still to be asked for; it is written down before Airflow hears it."""

    NOTHING = ""
    # Not yet asked at all: Airflow cannot know the job.
    TRIGGER = "trigger"
    # Asked, and perhaps not heard.
    TRIGGER_AGAIN = "trigger_again"
    CLEAR = "clear"


class EventKind(StrEnum):
    """What an event tells, as the field of JobEvent is named."""

    STATE = "state"
    TASK = "task"
    PROGRESS = "progress"
    METRICS = "metrics"
    LINE = "line"


@dataclass(frozen=True, slots=True)
class Task:
    """One task of a job. `percent` is from 0 to 100."""

    name: str
    state: TaskState = TaskState.WAITING
    attempts: int = 0
    start_time: datetime | None = None
    end_time: datetime | None = None
    percent: float = 0.0


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job failed: for programs, for people, and where."""

    reason: str
    message: str
    task: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it is.

    `dag` is who does it in Airflow; `kind` the field of JobSpec that it is told as. `epoch` counts
    how often it was begun anew by a person. `settled` is true once it has ended everywhere: here,
    in Airflow and in MLflow.
    """

    id: str
    dag: str
    kind: str
    conf: Mapping[str, Any]
    submitted_by: str
    model: str = ""
    fingerprint: str = ""
    state: JobState = JobState.QUEUED
    ask: Ask = Ask.TRIGGER
    create_time: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    cancel_time: datetime | None = None
    tasks: tuple[Task, ...] = ()
    percent: float = 0.0
    message: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)
    error: Failure | None = None
    revision: int = 0
    epoch: int = 0
    # Whether Airflow has a run of it.
    known: bool = False
    settled: bool = False
    number: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to a job; `what` has the fields of its kind's message."""

    kind: EventKind
    what: Any
    revision: int = 0
    time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """Metrics of one step."""

    step: int
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Report:
    """What a task's process tells."""

    job_id: str
    task: str
    attempt: str
    sequence: int
    percent: float | None = None
    message: str = ""
    metrics: tuple[Measured, ...] = ()
    lines: tuple[str, ...] = ()
    result: Mapping[str, Any] = field(default_factory=dict)
    error: Failure | None = None


class RunState(StrEnum):
    """Where a run stands in Airflow."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether Airflow has done with it."""
        return self in (RunState.SUCCESS, RunState.FAILED)


@dataclass(frozen=True, slots=True)
class Run:
    """A run as Airflow has it."""

    id: str
    dag: str
    state: RunState
    conf: Mapping[str, Any] = field(default_factory=dict)
    start_time: datetime | None = None
    end_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """Something that runs by itself."""

    name: str
    description: str
    timetable: str
    paused: bool
    next_run_time: datetime | None = None
