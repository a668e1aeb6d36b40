"""Domain values to messages of the contract and back."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from parley.jobs.v1 import jobs_pb2 as pb

from services.jobs.model import (
    Event,
    EventKind,
    Failure,
    Job,
    JobState,
    Measured,
    Report,
    Schedule,
    Task,
)
from services.jobs.specs import to_spec


def from_job(job: Job, airflow_url: str = "") -> pb.Job:
    """Writes a job."""
    shown = from_listed(job, airflow_url)
    shown.tasks.extend(from_task(task) for task in job.tasks)
    for name, value in job.metrics.items():
        shown.metrics[name] = value
    return shown


def from_listed(job: Job, airflow_url: str = "") -> pb.Job:
    """Writes a job without its tasks and metrics."""
    return pb.Job(
        id=job.id,
        spec=to_spec(job.kind, job.conf),
        state=_from_state(job.state),
        submitted_by=job.submitted_by,
        create_time=_from_time(job.create_time),
        start_time=_from_time(job.start_time),
        end_time=_from_time(job.end_time),
        percent=job.percent,
        message=job.message,
        result=pb.JobResult(**job.result),
        error=_from_failure(job.error),
        revision=job.revision,
        airflow_url=f"{airflow_url}/dags/{job.dag}/runs/{job.id}" if airflow_url else "",
    )


def from_task(task: Task) -> pb.JobTask:
    """Writes a task."""
    return pb.JobTask(
        name=task.name,
        state=pb.TaskState.Value(f"TASK_STATE_{task.state.name}"),
        attempts=task.attempts,
        start_time=_from_time(task.start_time),
        end_time=_from_time(task.end_time),
        percent=task.percent,
    )


def from_event(event: Event) -> pb.JobEvent:
    """Writes an event."""
    shown = pb.JobEvent(revision=event.revision, time=_from_time(event.time))
    what = event.what
    if event.kind is EventKind.STATE:
        shown.state = _from_state(what)
    elif event.kind is EventKind.TASK:
        shown.task.CopyFrom(from_task(what))
    elif event.kind is EventKind.PROGRESS:
        shown.progress.CopyFrom(pb.ProgressEvent(**what))
    elif event.kind is EventKind.METRICS:
        shown.metrics.CopyFrom(pb.MetricsEvent(**what))
    else:
        shown.line.CopyFrom(pb.LogLine(**what))
    return shown


def from_schedule(schedule: Schedule) -> pb.Schedule:
    """Writes a schedule."""
    return pb.Schedule(
        name=schedule.name,
        description=schedule.description,
        timetable=schedule.timetable,
        paused=schedule.paused,
        next_run_time=_from_time(schedule.next_run_time),
    )


def to_state(state: int) -> JobState:
    """Reads a state."""
    return JobState[pb.JobState.Name(state).removeprefix("JOB_STATE_")]


def to_report(request: pb.ReportProgressRequest) -> Report:
    """Reads a report. Metrics that are no finite numbers are left out: nothing can be drawn."""
    error = request.error
    return Report(
        job_id=request.job_id,
        task=request.task,
        attempt=request.attempt,
        sequence=request.sequence,
        percent=request.percent if request.HasField("percent") else None,
        message=request.message,
        metrics=tuple(Measured(one.step, _finite(one.values)) for one in request.metrics),
        lines=tuple(request.lines),
        result=_to_result(request.result),
        error=Failure(error.reason, error.message) if request.HasField("error") else None,
    )


def _to_result(result: pb.JobResult) -> Mapping[str, Any]:
    return {field.name: value for field, value in result.ListFields()}


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if math.isfinite(value)}


def _from_state(state: JobState) -> pb.JobState:
    return pb.JobState.Value(f"JOB_STATE_{state.name}")


def _from_failure(failure: Failure | None) -> pb.JobError | None:
    if failure is None:
        return None
    return pb.JobError(reason=failure.reason, message=failure.message, task=failure.task)


def _from_time(time: datetime | None) -> Timestamp | None:
    if time is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp
