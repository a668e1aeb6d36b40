"""What Airflow does and tasks tell becomes a job's state, and the way back: cancel and retry."""

import asyncio
from uuid import uuid4

import pytest
from parley.jobs.v1 import jobs_pb2 as pb

from services.jobs import book
from services.rpc.errors import FailedPrecondition, NotFound
from tests.contract.jobs.worlds import WAIT_S, Around, World, open_world
from tests.fakes.airflow import FakeRun


async def test_a_job_runs_to_its_end(world: World):
    """States, tasks, percent, metrics, lines and the result are told, and the job ends."""
    job, run = await world.submitted()
    run.begin("register")
    told = await world.report(
        job.id,
        "register",
        str(uuid4()),
        1,
        percent=50.0,
        message="Half of it.",
        metrics=[pb.MetricsEvent(step=3, values={"loss": 0.5, "bad": float("nan")})],
        lines=["a line\x00 with a zero"],
        result=pb.JobResult(model="acme", version=4),
    )
    assert not told.stop
    seen = await world.until(job.id, lambda job: job.tasks[0].attempts == 1)
    assert (seen.state, seen.percent, seen.message) == (pb.JOB_STATE_RUNNING, 47.5, "Half of it.")
    assert (dict(seen.metrics), seen.result.version) == ({"loss": 0.5}, 4)
    run.end("register")
    run.begin("promote")
    run.end("promote")
    done = await world.until_state(job.id, pb.JOB_STATE_SUCCEEDED)
    assert (done.percent, done.result.model) == (100, "acme")
    assert [task.state for task in done.tasks] == [pb.TASK_STATE_SUCCEEDED] * 2
    assert done.airflow_url.endswith(f"/dags/import_model/runs/{job.id}")


async def test_a_task_that_airflow_gives_up_fails_the_job(world: World):
    """The task is named, and its run in MLflow is closed as failed."""
    job, run = await world.submitted()
    mlflow_run = mlflow_run_of(world.around, job.id)
    run.begin("register")
    run.end("register", "failed")
    failed = await world.until_state(job.id, pb.JOB_STATE_FAILED)
    assert (failed.error.reason, failed.error.task) == ("TASK_FAILED", "register")
    await until_status(world, job.id, mlflow_run, "FAILED")


async def test_an_error_that_no_repeat_mends_ends_the_run(world: World):
    """The job fails with the task's words, and Airflow repeats nothing."""
    job, run = await world.submitted()
    run.begin("register")
    error = pb.JobError(reason="LOSS_NOT_FINITE", message="The loss is not a number at step 9.")
    told = await world.report(job.id, "register", str(uuid4()), 1, error=error)
    assert told.stop
    failed = await world.get(job.id)
    assert (failed.state, failed.error.reason) == (pb.JOB_STATE_FAILED, "LOSS_NOT_FINITE")
    assert failed.error.task == "register"
    await until_run(world, run, "failed")


async def test_reports_count_once_and_the_youngest_process_holds_a_task(world: World):
    """A repeat adds nothing; an older process is told to stop, and is not listened to."""
    job, run = await world.submitted()
    run.begin("register")
    older, younger = str(uuid4()), str(uuid4())
    for _ in range(2):
        assert not (await world.report(job.id, "register", older, 1, lines=["one"])).stop
    assert not (await world.report(job.id, "register", younger, 1, lines=["two"])).stop
    told = await world.report(job.id, "register", older, 2, lines=["three"])
    assert told.stop
    assert "younger" in told.reason
    await world.cancel(job.id)
    events = [message.event for message in await world.watch(job.id)]
    assert [event.line.text for event in events if event.HasField("line")] == ["one", "two"]


async def test_a_cancel_is_seen_at_once_and_ends_everything(world: World):
    """CANCELLING, the process is told, the run fails, MLflow's is KILLED, then CANCELLED."""
    job, run = await world.submitted()
    run.begin("register")
    mlflow_run = mlflow_run_of(world.around, job.id)
    attempt = str(uuid4())
    await world.report(job.id, "register", attempt, 1)
    assert (await world.cancel(job.id)).state == pb.JOB_STATE_CANCELLING
    assert (await world.report(job.id, "register", attempt, 2)).stop
    done = await world.until_state(job.id, pb.JOB_STATE_CANCELLED)
    assert run.state == "failed"
    assert world.around.mlflow.runs[mlflow_run]["info"]["status"] == "KILLED"
    assert done.message == "Cancelled by local. Enough."
    assert (await world.cancel(job.id)).state == pb.JOB_STATE_CANCELLED


async def test_a_job_that_airflow_never_heard_of_is_cancelled_at_once(world: World):
    """Also while Airflow is away."""
    world.around.airflow.down = True
    job = await world.submit()
    assert (await world.cancel(job.id)).state == pb.JOB_STATE_CANCELLED
    world.around.airflow.down = False
    other, _ = await world.submitted()
    assert other.id != job.id
    assert job.id not in world.around.airflow.runs


async def test_what_has_ended_well_is_neither_cancelled_nor_retried(world: World):
    """The words say so; a retry of what succeeded is refused as well."""
    job, run = await world.submitted()
    for task in ("register", "promote"):
        run.begin(task)
        run.end(task)
    await world.until_state(job.id, pb.JOB_STATE_SUCCEEDED)
    for ask in (world.cancel, world.retry):
        with pytest.raises(FailedPrecondition):
            await ask(job.id)


async def test_a_retry_goes_on_from_the_task_that_failed(world: World):
    """What was done stays done; what was skipped behind it runs too."""
    job, run = await world.submitted()
    run.begin("register")
    run.end("register")
    run.begin("promote")
    attempt = str(uuid4())
    await world.report(job.id, "promote", attempt, 1)
    await world.cancel(job.id)
    await world.until_state(job.id, pb.JOB_STATE_CANCELLED)
    assert (await world.retry(job.id)).state == pb.JOB_STATE_QUEUED
    await until_run(world, run, "queued")
    assert (run.tasks["register"]["state"], run.tasks["promote"]["state"]) == ("success", None)
    assert (await world.report(job.id, "promote", attempt, 2)).stop, "it is of the time before"
    run.begin("promote")
    await world.until_state(job.id, pb.JOB_STATE_RUNNING)
    assert (await world.retry(job.id)).state == pb.JOB_STATE_RUNNING
    run.end("promote")
    done = await world.until_state(job.id, pb.JOB_STATE_SUCCEEDED)
    assert not done.HasField("error")


async def test_runs_begun_in_airflow_become_jobs(world: World):
    """With the fields of Airflow's form; a task that reports first is known at once."""
    conf = {"model": "acme", "dataset": "s3://b/k", "method": "lora", "seed": "x", "more": 1}
    run = FakeRun("manual__2026-01-02T03:04:05+00:00", "finetune", conf)
    world.around.airflow.runs[run.id] = run
    run.begin("prepare")
    await world.report(run.id, "prepare", str(uuid4()), 1, percent=10.0)
    job = await world.until_state(run.id, pb.JOB_STATE_RUNNING)
    assert (job.submitted_by, job.spec.finetune.method) == ("airflow", pb.TRAINING_METHOD_LORA)
    assert (job.spec.finetune.model, job.spec.finetune.seed) == ("acme", 0)
    nightly = FakeRun("scheduled__1", "nightly_evaluate", {"model": "acme", "submitted_by": "ada"})
    world.around.airflow.runs[nightly.id] = nightly
    nightly.begin("prepare")
    await world.report(nightly.id, "prepare", str(uuid4()), 1)
    seen = await world.get(nightly.id)
    assert (seen.submitted_by, seen.spec.WhichOneof("work")) == ("ada", "evaluate")


async def test_a_run_that_is_let_go_on_in_airflow_is_followed_again(world: World):
    """Clearing a failed task on Airflow's page is a retry too."""
    job, run = await world.submitted()
    run.begin("register")
    run.end("register", "failed")
    await world.until_state(job.id, pb.JOB_STATE_FAILED)
    async with asyncio.timeout(WAIT_S):
        while await world.jobs.store.run(book.count_unsettled):  # noqa: ASYNC110 (a table)
            await asyncio.sleep(0.02)
    for task in ("register", "promote"):
        run.begin(task)
        await world.until(job.id, lambda job: job.state == pb.JOB_STATE_RUNNING)
        run.end(task)
    assert not (await world.until_state(job.id, pb.JOB_STATE_SUCCEEDED)).HasField("error")


async def test_a_report_for_nothing_is_not_found(world: World):
    """Neither a job nor a run."""
    with pytest.raises(NotFound):
        await world.report("nothing", "train", str(uuid4()), 1)


async def test_schedules_are_listed_and_held(world: World):
    """Only what runs by itself is one."""
    found = (await world.ask("ListSchedules", pb.ListSchedulesRequest())).schedules
    assert [one.name for one in found] == ["nightly_evaluate", "retrain_from_feedback"]
    asked = pb.PauseScheduleRequest(name="nightly_evaluate", paused=False)
    schedule = (await world.ask("PauseSchedule", asked)).schedule
    assert (schedule.paused, schedule.HasField("next_run_time")) == (False, True)
    with pytest.raises(NotFound):
        await world.ask("PauseSchedule", pb.PauseScheduleRequest(name="finetune", paused=True))


async def test_lists_are_cut_into_pages(world: World):
    """Newest first, each once, by state and kind."""
    ids = [(await world.submit()).id for _ in range(5)]
    token, found = "", []
    while True:
        request = pb.ListJobsRequest(page_size=2, page_token=token, kind="import_model")
        answer = await world.ask("ListJobs", request)
        found += [job.id for job in answer.jobs]
        token = answer.next_page_token
        if not token:
            break
    assert found == ids[::-1]
    failed = pb.ListJobsRequest(states=[pb.JOB_STATE_FAILED])
    assert not (await world.ask("ListJobs", failed)).jobs


async def test_a_job_outlives_the_service(around: Around):
    """The next process goes on with what is there, and watches go on by number."""
    async with open_world(around) as world:
        job, run = await world.submitted()
    run.begin("register")
    async with open_world(around) as world:
        running = await world.until_state(job.id, pb.JOB_STATE_RUNNING)
        run.end("register")
        run.begin("promote")
        run.end("promote")
        messages = await world.watch(job.id, running.revision)
        assert messages[-1].job.state == pb.JOB_STATE_SUCCEEDED


async def test_a_watch_tells_everything_in_order(world: World):
    """The job, each event by number without gap, and at the end the job again."""
    job, run = await world.submitted()
    told = aiter(world.stub.WatchJob(pb.WatchJobRequest(id=job.id), timeout=WAIT_S))
    assert (await anext(told)).job.id == job.id
    attempt = str(uuid4())
    run.begin("register")
    for sequence in range(1, 30):
        await world.report(job.id, "register", attempt, sequence, lines=[f"line {sequence}"])
    for task in ("register", "promote"):
        run.begin(task)
        run.end(task)
    *events, last = [message async for message in told]
    assert last.job.state == pb.JOB_STATE_SUCCEEDED
    revisions = [message.event.revision for message in events]
    assert revisions == list(range(1, last.job.revision + 1))
    lines = [one.event.line.text for one in events if one.event.HasField("line")]
    assert lines == [f"line {sequence}" for sequence in range(1, 30)]
    again = await world.watch(job.id, revisions[-3])
    assert [one.event.revision for one in again[1:-1]] == revisions[-2:]


def mlflow_run_of(around: Around, job_id: str) -> str:
    """Makes the run that a task would make; gives its id."""
    around.mlflow.experiments["acme"] = "0"
    info = {"run_id": uuid4().hex, "status": "RUNNING"}
    around.mlflow.runs[info["run_id"]] = {"info": info, "tags": {"parley.job": job_id}}
    return info["run_id"]


async def until_status(world: World, job_id: str, mlflow_run: str, status: str) -> None:
    """Waits for the state of a run in MLflow."""
    info = world.around.mlflow.runs[mlflow_run]["info"]
    await world.until(job_id, lambda _: info["status"] == status)


async def until_run(world: World, run: FakeRun, state: str) -> None:
    """Waits for the state of a run in Airflow."""
    await world.until(run.id, lambda _: run.state == state)
