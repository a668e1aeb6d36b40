"""`jobs`: long work around models, and what runs by itself."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stack.commands import outcomes, train
from stack.commands.options import AsJson, AsName, Detach
from stack.errors import Exit, StackError
from stack.plain import plain
from stack.words import ago, out, print_json, print_rows, say, talk

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp
    from parley.jobs.v1 import jobs_pb2 as pb

PAGE = 50
HELP = """Long work around models: training, evaluation, imports, batches; and what runs by itself.

\b
Examples:
  ./parley train talks.jsonl --detach
  ./parley jobs list
  ./parley jobs watch ID
  ./parley jobs schedules
"""
Id = Annotated[str, typer.Argument(help="The job's id; ./parley jobs list has it.")]
ScheduleName = Annotated[str, typer.Argument(help="Its name; ./parley jobs schedules has it.")]


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(no_args_is_help=True, help=HELP, rich_markup_mode=None)
    for name, command in (
        ("list", list_jobs),
        ("show", show),
        ("watch", watch),
        ("cancel", cancel),
        ("retry", retry),
        ("logs", logs),
        ("submit", submit),
        ("schedules", schedules),
        ("pause", pause),
        ("resume", resume),
    ):
        group.command(name)(command)
    app.add_typer(group, name="jobs")


def list_jobs(
    kind: Annotated[str, typer.Option(help="Only of this kind, such as finetune.")] = "",
    model: Annotated[str, typer.Option(help="Only for this model.")] = "",
    lines: Annotated[int, typer.Option("-n", "--lines", min=1, max=1000, help="Jobs.")] = PAGE,
    as_name: AsName = None,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first.

    \b
    Examples:
      ./parley jobs list
      ./parley jobs list --kind finetune --model support
      ./parley jobs list -n 1000 --json
    """
    from parley.jobs.v1 import jobs_pb2 as pb

    from stack import job_client

    request = pb.ListJobsRequest(page_size=lines, kind=kind, model=model)
    with job_client.connect(as_name) as jobs:
        found = jobs.call("ListJobs", request).jobs
    if as_json:
        print_json([plain(job) for job in found])
        return
    rows = [
        (job.id, *_what(job), _how(job), _when(job.create_time), job.submitted_by) for job in found
    ]
    print_rows(("JOB", "KIND", "MODEL", "STATE", "SUBMITTED", "BY"), rows)
    if not found:
        talk.print("There is none yet. Begin with: ./parley train DATA")


def show(id: Id, as_name: AsName = None, as_json: AsJson = False) -> None:
    """Show a job with its tasks, and what came of it.

    \b
    Examples:
      ./parley jobs show 5f0c2b1e-9d3a-4c57-8a6b-0e1f2a3b4c5d
      ./parley jobs show 5f0c2b1e-9d3a-4c57-8a6b-0e1f2a3b4c5d --json
    """
    from stack import job_client

    with job_client.connect(as_name) as jobs:
        job = jobs.job(id)
    if as_json:
        print_json(plain(job))
        return
    _show(job)


def watch(id: Id, as_name: AsName = None, as_json: AsJson = False) -> None:
    """Watch a job to its end. Ctrl-C leaves it running.

    With --json each event is a line, and the last line is the job.

    \b
    Examples:
      ./parley jobs watch 5f0c2b1e-9d3a-4c57-8a6b-0e1f2a3b4c5d
      ./parley jobs watch 5f0c2b1e-9d3a-4c57-8a6b-0e1f2a3b4c5d --json
    """
    from stack import job_client
    from stack.commands import watching

    with job_client.connect(as_name) as jobs:
        if as_json:
            _print_events(jobs.watch(id))
            return
        outcomes.tell(watching.watch(jobs, jobs.job(id)), False)


def cancel(
    id: Id,
    reason: Annotated[str, typer.Option("--reason", help="Why, for its log.")] = "",
    as_name: AsName = None,
    as_json: AsJson = False,
) -> None:
    """End a job.

    \b
    Examples:
      ./parley jobs cancel 5f0c2b1e-9d3a-4c57-8a6b-0e1f2a3b4c5d --reason "wrong data"
    """
    from parley.jobs.v1 import jobs_pb2 as pb

    from stack import job_client

    with job_client.connect(as_name) as jobs:
        job = jobs.call("CancelJob", pb.CancelJobRequest(id=id, reason=reason)).job
    print_json(plain(job)) if as_json else say(f"The job is {_state(job)}.")


def retry(id: Id, detach: Detach = False, as_name: AsName = None, as_json: AsJson = False) -> None:
    """Run a failed or cancelled job again, from the task that did not succeed.

    \b
    Examples:
      ./parley jobs retry 5f0c2b1e-9d3a-4c57-8a6b-0e1f2a3b4c5d
    """
    from parley.jobs.v1 import jobs_pb2 as pb

    from stack import job_client
    from stack.commands import watching

    with job_client.connect(as_name) as jobs:
        job = jobs.call("RetryJob", pb.RetryJobRequest(id=id)).job
        if not detach:
            outcomes.tell(watching.watch(jobs, job, quiet=as_json), as_json)
        elif as_json:
            print_json(plain(job))
        else:
            say(f"The job is {_state(job)}.")


def logs(
    id: Id,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until it ends.")] = False,
    as_name: AsName = None,
) -> None:
    """Print the lines that a job's tasks wrote.

    \b
    Examples:
      ./parley jobs logs 5f0c2b1e-9d3a-4c57-8a6b-0e1f2a3b4c5d
      ./parley jobs logs 5f0c2b1e-9d3a-4c57-8a6b-0e1f2a3b4c5d -f
    """
    from stack import job_client

    last: int | None = None
    with job_client.connect(as_name) as jobs:
        for message in jobs.watch(id):
            if message.HasField("job") and last is None:
                last = message.job.revision
            if message.event.HasField("line"):
                say(f"{message.event.line.task:<9} {message.event.line.text}")
            if not follow and last is not None and message.event.revision >= last:
                return


def submit(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="JSON of a job; - for standard input.")
    ],
    detach: Detach = False,
    as_name: AsName = None,
    as_json: AsJson = False,
) -> None:
    """Submit any job, as POST /api/v1/jobs takes it.

    FILE holds one of finetune, pretrain_starter, evaluate, import_model and batch_generate, such as
    {"batch_generate": {"model": "support", "dataset": "/data/prompts.jsonl"}}

    \b
    Examples:
      ./parley jobs submit job.json
      echo '{"pretrain_starter": {"seed": 7}}' | ./parley jobs submit - --detach
    """
    train.submit(_spec(file), detach, as_name, as_json)


def schedules(as_name: AsName = None, as_json: AsJson = False) -> None:
    """List what runs by itself, and when.

    \b
    Examples:
      ./parley jobs schedules
    """
    from parley.jobs.v1 import jobs_pb2 as pb

    from stack import job_client

    with job_client.connect(as_name) as jobs:
        found = jobs.call("ListSchedules", pb.ListSchedulesRequest()).schedules
    if as_json:
        print_json([plain(one) for one in found])
        return
    rows = [(one.name, one.timetable, _next_run(one), one.description) for one in found]
    print_rows(("NAME", "WHEN", "NEXT", "WHAT"), rows)


def pause(name: ScheduleName, as_name: AsName = None, as_json: AsJson = False) -> None:
    """Hold a schedule.

    \b
    Examples:
      ./parley jobs pause nightly_evaluate
    """
    _hold(name, True, as_name, as_json)


def resume(name: ScheduleName, as_name: AsName = None, as_json: AsJson = False) -> None:
    """Let a schedule go on.

    \b
    Examples:
      ./parley jobs resume nightly_evaluate
    """
    _hold(name, False, as_name, as_json)


def _hold(name: str, paused: bool, as_name: str | None, as_json: bool) -> None:
    from parley.jobs.v1 import jobs_pb2 as pb

    from stack import job_client

    with job_client.connect(as_name) as jobs:
        request = pb.PauseScheduleRequest(name=name, paused=paused)
        found = jobs.call("PauseSchedule", request).schedule
    if as_json:
        print_json(plain(found))
    else:
        say(f"{found.name} {'is held' if found.paused else f'goes on: {_next_run(found)}'}")


def _spec(file: str) -> "pb.JobSpec":
    from parley.jobs.v1 import jobs_pb2 as pb

    from gateway.api.messages import Reader
    from gateway.bodies import parse_json
    from gateway.errors import ApiError

    body = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    try:
        spec: Any = Reader(pb.JobSpec).read(parse_json(body))
    except ApiError as error:
        raise StackError(error.message, code=Exit.USAGE) from None
    if not spec.WhichOneof("work"):
        kinds = ", ".join(field.name for field in pb.JobSpec.DESCRIPTOR.fields)
        raise StackError("There is no work in it.", mend=f"One of: {kinds}", code=Exit.USAGE)
    return spec


def _print_events(messages: Any) -> None:
    import json

    job: Any = None
    for message in messages:
        if message.HasField("job"):
            job = message.job
        else:
            typer.echo(json.dumps(plain(message.event)))
    typer.echo(json.dumps(plain(job)))


def _show(job: "pb.Job") -> None:
    result, (kind, model) = job.result, _what(job)
    values = {
        "state": _how(job),
        "model": f"{result.model}@{result.version}" if result.version else model,
        "submitted": f"{_when(job.create_time)} by {job.submitted_by}",
        "doing": job.message if not job.HasField("end_time") else "",
        "promotion": result.promotion_reason,
        "run": result.mlflow_run_id,
        "W&B": result.wandb_run,
        "dataset": result.dataset_digest,
        "answers": result.output,
        "problem": job.error.message,
        "graph": job.airflow_url,
    }
    say(f"{kind} {job.id}")
    for name, value in values.items():
        if value:
            say(f"  {name:<10} {value}")
    if job.tasks:
        out.print()
        print_rows(("TASK", "STATE", "ATTEMPTS", "DONE"), [_task(task) for task in job.tasks])
    if rows := outcomes.rows_of_metrics(job):
        out.print()
        print_rows(("METRIC", "VALUE", "CHAMPION BEFORE"), rows)


def _task(task: "pb.JobTask") -> tuple[str, str, str, str]:
    from parley.jobs.v1 import jobs_pb2 as pb

    state = pb.TaskState.Name(task.state).removeprefix("TASK_STATE_").lower()
    return task.name, state, str(task.attempts or "-"), f"{task.percent:.0f}%"


def _what(job: "pb.Job") -> tuple[str, str]:
    kind = job.spec.WhichOneof("work")
    return (kind, getattr(job.spec, kind).model or "-") if kind else ("-", "-")


def _how(job: "pb.Job") -> str:
    from parley.jobs.v1 import jobs_pb2 as pb

    if job.state == pb.JOB_STATE_RUNNING:
        return f"running {job.percent:.0f}%"
    if job.result.promotion == pb.PROMOTION_OUTCOME_REFUSED:
        return f"{_state(job)}, refused"
    return _state(job)


def _state(job: "pb.Job") -> str:
    from parley.jobs.v1 import jobs_pb2 as pb

    return pb.JobState.Name(job.state).removeprefix("JOB_STATE_").lower()


def _when(stamp: "Timestamp") -> str:
    import time

    return f"{ago(max(0.0, time.time() - stamp.ToSeconds()))} ago"


def _next_run(schedule: "pb.Schedule") -> str:
    if schedule.paused:
        return "held"
    if not schedule.HasField("next_run_time"):
        return "on its event"
    return schedule.next_run_time.ToDatetime().strftime("%Y-%m-%d %H:%M UTC")
