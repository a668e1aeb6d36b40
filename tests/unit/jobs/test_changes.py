"""What becomes of a job: states, percent, and what is told of it."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.jobs import changes
from services.jobs.kinds import WEIGHTS, first_tasks, percent_of
from services.jobs.model import (
    Ask,
    EventKind,
    Failure,
    Job,
    JobState,
    Report,
    Run,
    RunState,
    Task,
    TaskState,
)

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def job(**fields: object) -> Job:
    """A job that Airflow has."""
    known = {"ask": Ask.NOTHING, "known": True, "tasks": first_tasks("finetune")}
    return replace(Job("j", "finetune", "finetune", {}, "ada"), **known | fields)


def told(task: str = "train", **fields: object) -> Report:
    """A report."""
    return Report("j", task, "a", 1, **fields)


@pytest.mark.parametrize("dag", WEIGHTS)
def test_weights_are_shares_of_the_whole(dag: str):
    """All tasks done is 100, none is 0."""
    assert percent_of(dag, first_tasks(dag)) == 0
    done = [replace(task, state=TaskState.SUCCEEDED) for task in first_tasks(dag)]
    assert percent_of(dag, done) == 100
    assert sum(WEIGHTS[dag].values()) == 100


def test_training_is_most_of_a_job():
    """Half of the training is 35 percent, beside what was before."""
    made = changes.report(job(state=JobState.RUNNING), told(percent=50.0), NOW)
    assert made.job.percent == 35


def test_the_percent_never_falls():
    """A task that is begun anew does not take back what was told."""
    made = changes.report(job(state=JobState.RUNNING), told(percent=50.0), NOW)
    again = changes.report(made.job, told(percent=5.0), NOW)
    assert again.job.percent == 35
    assert next(one for one in again.job.tasks if one.name == "train").percent == 5


def test_a_report_begins_a_job():
    """A task at work says so before Airflow is looked at."""
    made = changes.report(job(), told("prepare"), NOW)
    assert (made.job.state, made.job.start_time) == (JobState.RUNNING, NOW)
    assert [event.kind for event in made.events] == [EventKind.STATE, EventKind.TASK]


def test_a_task_that_tells_of_its_failure_at_once_was_begun():
    """A job that ended before Airflow was looked at shows the attempt that ended it."""
    made = changes.report(job(), told("prepare", error=Failure("NO", "no")), NOW)
    assert made.job.state is JobState.FAILED
    assert (made.job.tasks[0].name, made.job.tasks[0].attempts) == ("prepare", 1)


@pytest.mark.parametrize("state", [JobState.CANCELLING, JobState.CANCELLED, JobState.SUCCEEDED])
def test_a_late_report_changes_no_state(state: JobState):
    """What came of the job is kept; an error after the end is none."""
    late = told(result={"version": 3}, lines=("x",), error=Failure("NO", "no"))
    made = changes.report(job(state=state), late, NOW)
    assert (made.job.state, made.job.error, made.job.result) == (state, None, {"version": 3})
    assert [event.kind for event in made.events] == [EventKind.LINE]


def test_lines_are_cut():
    """No line is longer than the contract says."""
    made = changes.report(job(), told(lines=("x" * 5000,)), NOW)
    assert len(made.events[0].what["text"]) == changes.WORDS_MAX


def test_metrics_are_bounded():
    """Ever new names do not make a job grow."""
    made = job(state=JobState.RUNNING)
    for number in range(changes.METRICS_MAX + 10):
        measured = changes.Measured(0, {f"m{number}": 1.0})
        made = changes.report(made, told(metrics=(measured,)), NOW).job
    assert len(made.metrics) == changes.METRICS_MAX


@pytest.mark.parametrize(
    ("state", "run", "becomes"),
    [
        (JobState.RUNNING, RunState.SUCCESS, JobState.SUCCEEDED),
        (JobState.RUNNING, RunState.FAILED, JobState.FAILED),
        (JobState.CANCELLING, RunState.FAILED, JobState.CANCELLING),
        (JobState.CANCELLING, RunState.SUCCESS, JobState.SUCCEEDED),
        (JobState.FAILED, RunState.SUCCESS, JobState.FAILED),
        (JobState.CANCELLED, RunState.RUNNING, JobState.CANCELLED),
        (JobState.QUEUED, RunState.QUEUED, JobState.QUEUED),
        (JobState.QUEUED, RunState.RUNNING, JobState.QUEUED),
    ],
)
def test_what_airflow_shows(state: JobState, run: RunState, becomes: JobState):
    """An end stays an end, and a cancel is not done before its processes are gone."""
    seen = Run("j", "finetune", run)
    assert changes.follow(job(state=state), seen, (), NOW).job.state is becomes


def test_what_is_the_same_is_not_told():
    """Looking at a run that goes on makes no events."""
    task = Task("prepare", TaskState.RUNNING, 1, NOW)
    seen = Run("j", "finetune", RunState.RUNNING)
    first = changes.follow(job(), seen, [task], NOW)
    assert first.events
    assert not changes.follow(first.job, seen, [task], NOW).events


def test_a_failed_task_is_named():
    """The first that failed, and how often it was begun."""
    tasks = [Task("prepare", TaskState.SUCCEEDED, 1), Task("train", TaskState.FAILED, 4)]
    made = changes.follow(job(), Run("j", "finetune", RunState.FAILED), tasks, NOW)
    assert made.job.error
    assert (made.job.error.task, "4 times" in made.job.error.message) == ("train", True)


def test_a_cancel_of_what_airflow_never_heard_ends_at_once():
    """And of all else waits for its processes."""
    assert changes.cancel(job(ask=Ask.TRIGGER), NOW, "x").job.state is JobState.CANCELLED
    for ask in (Ask.TRIGGER_AGAIN, Ask.NOTHING):
        assert changes.cancel(job(ask=ask), NOW, "x").job.state is JobState.CANCELLING


def test_a_retry_asks_airflow_for_what_fits():
    """To go on where it has a run, to begin where it has none."""
    failed = job(state=JobState.FAILED, error=Failure("X", "x"), settled=True)
    made = changes.retry(failed, NOW).job
    assert (made.ask, made.epoch, made.error, made.settled) == (Ask.CLEAR, 1, None, False)
    assert changes.retry(replace(failed, known=False), NOW).job.ask is Ask.TRIGGER
