"""What becomes of a job when something is wished, reported or seen. Pure.

Each function takes a job as it is and returns it as it becomes, with the events that tell of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from services.jobs.kinds import in_order, percent_of
from services.jobs.model import (
    Ask,
    Event,
    EventKind,
    Failure,
    Job,
    JobState,
    Measured,
    Report,
    Run,
    RunState,
    Task,
    TaskState,
)

METRICS_MAX = 256
WORDS_MAX = 2000
WAITING_WORDS = "Waiting for Airflow."


@dataclass
class Change:
    """A job on its way to become another, and what is told of it, in order."""

    job: Job
    events: list[Event] = field(default_factory=list)

    def set(self, **fields: Any) -> None:
        """Changes what no event tells of."""
        self.job = replace(self.job, **fields)

    def tell(self, kind: EventKind, what: Any) -> None:
        """Adds an event."""
        self.events.append(Event(kind, what))

    def to_state(self, state: JobState, now: datetime) -> None:
        """Moves the job on, and stamps its end."""
        end_time = now if state.ended else None
        percent = 100.0 if state is JobState.SUCCEEDED else self.job.percent
        self.set(state=state, end_time=end_time, percent=percent)
        self.tell(EventKind.STATE, state)

    def to_progress(self, message: str = "") -> None:
        """Sets the percent by the tasks, never lower, and the message where there is one."""
        job = self.job
        percent = max(job.percent, percent_of(job.dag, job.tasks))
        message = message or job.message
        if (percent, message) != (job.percent, job.message):
            self.set(percent=percent, message=message)
            self.tell(EventKind.PROGRESS, {"percent": percent, "message": message})

    def to_task(self, task: Task) -> None:
        """Sets one task; tells of it where more than its percent changed."""
        known = {one.name: one for one in self.job.tasks}
        before = known.get(task.name)
        if before == task:
            return
        known[task.name] = task
        self.set(tasks=in_order(self.job.dag, list(known.values())))
        if before is None or replace(before, percent=task.percent) != task:
            self.tell(EventKind.TASK, task)


def submit(job: Job) -> Change:
    """Takes a new job on, or one that was found in Airflow."""
    change = Change(job)
    change.tell(EventKind.STATE, job.state)
    return change


def cancel(job: Job, now: datetime, words: str) -> Change:
    """Begins to end a job; one that Airflow cannot know has ended with it."""
    change = Change(job)
    change.to_progress(words)
    if job.ask is Ask.TRIGGER:
        change.set(ask=Ask.NOTHING, settled=True)
        change.to_state(JobState.CANCELLED, now)
    else:
        change.set(cancel_time=now)
        change.to_state(JobState.CANCELLING, now)
    return change


def retry(job: Job, now: datetime) -> Change:
    """Begins an ended job anew: from the task that did not succeed, where Airflow has a run."""
    change = Change(job)
    change.set(
        ask=Ask.CLEAR if job.known else Ask.TRIGGER,
        epoch=job.epoch + 1,
        settled=False,
        error=None,
        cancel_time=None,
    )
    change.to_state(JobState.QUEUED, now)
    return change


def revive(job: Job, now: datetime) -> Change:
    """Follows an ended job again, since somebody let its run go on in Airflow."""
    change = Change(job)
    change.set(epoch=job.epoch + 1, settled=False, error=None, cancel_time=None)
    change.to_state(JobState.QUEUED, now)
    return change


def fail(job: Job, failure: Failure, now: datetime) -> Change:
    """Ends a job without success."""
    change = Change(job)
    change.set(error=failure, ask=Ask.NOTHING)
    change.to_state(JobState.FAILED, now)
    return change


def wait(job: Job) -> Change:
    """Says that a job waits for Airflow."""
    change = Change(job)
    change.to_progress(WAITING_WORDS)
    return change


def asked(job: Job, ask: Ask = Ask.NOTHING) -> Change:
    """Writes down what Airflow is still to be asked for."""
    change = Change(job)
    change.set(ask=ask, known=job.known or ask is Ask.NOTHING)
    if ask is Ask.NOTHING and job.message == WAITING_WORDS:
        change.to_progress("Airflow has it.")
    return change


def end_cancelled(job: Job, now: datetime) -> Change:
    """Ends a job of which no process is left."""
    change = Change(job)
    change.to_state(JobState.CANCELLED, now)
    return change


def settle(job: Job) -> Change:
    """Leaves an ended job alone from now on."""
    change = Change(job)
    change.set(settled=True)
    return change


def report(job: Job, told: Report, now: datetime) -> Change:
    """Takes what the process that holds a task tells of it.

    What was measured counts even after the end: a report may have been kept while we were away.
    """
    change = Change(job)
    change.set(result={**job.result, **told.result})
    for measured in told.metrics:
        _measure(change, measured)
    for line in told.lines:
        change.tell(EventKind.LINE, {"task": told.task, "text": line[:WORDS_MAX]})
    if job.state not in (JobState.QUEUED, JobState.RUNNING):
        return change
    if job.state is JobState.QUEUED:
        change.to_state(JobState.RUNNING, now)
        change.set(start_time=job.start_time or now)
    change.to_task(_working(job, told, now))
    change.to_progress(told.message)
    if told.error is not None:
        change.set(error=replace(told.error, task=told.task), ask=Ask.NOTHING)
        change.to_state(JobState.FAILED, now)
    return change


def follow(job: Job, run: Run, tasks: Sequence[Task], now: datetime) -> Change:
    """Takes what Airflow shows of a run; `tasks` may be a part of them."""
    change = Change(job)
    known = {task.name: task for task in job.tasks}
    for task in tasks:
        change.to_task(_merge(known.get(task.name), task))
    begun = [task.start_time for task in change.job.tasks if task.start_time]
    if begun and job.start_time is None:
        change.set(start_time=min(begun))
    if job.state.ended:
        return change
    if run.state is RunState.SUCCESS:
        change.to_state(JobState.SUCCEEDED, now)
        return change
    if job.state is JobState.CANCELLING:
        return change
    if run.state is RunState.FAILED:
        change.set(error=job.error or _failure(change.job))
        change.to_state(JobState.FAILED, now)
        return change
    if job.state is JobState.QUEUED and begun and run.state is RunState.RUNNING:
        change.to_state(JobState.RUNNING, now)
    change.to_progress()
    return change


def _measure(change: Change, measured: Measured) -> None:
    latest: Mapping[str, float] = {**change.job.metrics, **measured.values}
    if len(latest) <= METRICS_MAX:
        change.set(metrics=latest)
    change.tell(EventKind.METRICS, {"step": measured.step, "values": dict(measured.values)})


def _working(job: Job, told: Report, now: datetime) -> Task:
    task = next((one for one in job.tasks if one.name == told.task), Task(told.task))
    if told.percent is not None:
        task = replace(task, percent=told.percent)
    if task.state in (TaskState.WAITING, TaskState.RETRYING):
        # It may tell of itself, even of its failure, before Airflow was looked at.
        attempts, start_time = max(task.attempts, 1), task.start_time or now
        return replace(
            task,
            state=TaskState.RUNNING,
            attempts=attempts,
            start_time=start_time,
            end_time=None,
        )
    return task


def _merge(ours: Task | None, theirs: Task) -> Task:
    """Airflow knows the states; how far a task is, only its process tells."""
    if ours is None:
        return theirs
    if ours.state is TaskState.RUNNING and theirs.state is TaskState.WAITING:
        return ours  # Its process told us meanwhile that it works.
    percent = 100.0 if theirs.state is TaskState.SUCCEEDED else ours.percent
    return replace(theirs, percent=percent)


def _failure(job: Job) -> Failure:
    failed = next((task for task in job.tasks if task.state is TaskState.FAILED), None)
    if failed is None:
        return Failure("RUN_FAILED", "Airflow ended the run. Try the job again.")
    words = f"Task {failed.name!r} was begun {failed.attempts} times and failed."
    return Failure("TASK_FAILED", f"{words} Its log says why; then try again.", failed.name)
