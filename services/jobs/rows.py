"""Rows to domain values and back. Knows no statement."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from services.jobs.model import (
    Ask,
    Event,
    EventKind,
    Failure,
    Job,
    JobState,
    Task,
    TaskState,
)

# PostgreSQL's text cannot hold it, and a program's output may.
NUL = "\x00"
REPLACEMENT = "\ufffd"


def from_job(job: Job) -> dict[str, Any]:
    """Writes a job, but for its number, which the table gives."""
    fields = {name: getattr(job, name) for name in Job.__slots__ if name != "number"}
    fields["tasks"] = [_from_task(task) for task in job.tasks]
    fields["error"] = asdict(job.error) if job.error else {}
    return _clean(fields)


def to_job(row: sa.RowMapping) -> Job:
    """Reads a job."""
    fields = {name: row[name] for name in Job.__slots__}
    fields["state"], fields["ask"] = JobState(row["state"]), Ask(row["ask"])
    fields["tasks"] = tuple(_to_task(task) for task in row["tasks"])
    fields["error"] = Failure(**row["error"]) if row["error"] else None
    return Job(**fields)


def from_event(event: Event) -> dict[str, Any]:
    """Writes an event."""
    what = _from_task(event.what) if event.kind is EventKind.TASK else event.what
    row = {"revision": event.revision, "time": event.time, "kind": event.kind, "what": what}
    return _clean(row)


def to_event(row: sa.RowMapping) -> Event:
    """Reads an event."""
    kind, what = EventKind(row["kind"]), row["what"]
    if kind is EventKind.STATE:
        what = JobState(what)
    elif kind is EventKind.TASK:
        what = _to_task(what)
    return Event(kind, what, row["revision"], row["time"])


def _from_task(task: Task) -> dict[str, Any]:
    return {name: _from_value(getattr(task, name)) for name in Task.__slots__}


def _from_value(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _to_task(value: Mapping[str, Any]) -> Task:
    times = {
        name: datetime.fromisoformat(value[name]) if value[name] else None
        for name in ("start_time", "end_time")
    }
    return Task(**{**value, **times, "state": TaskState(value["state"])})


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace(NUL, REPLACEMENT)
    if isinstance(value, Mapping):
        return {_clean(key): _clean(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(one) for one in value]
    return value
