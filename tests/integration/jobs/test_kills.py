"""The jobs service may die anywhere: a job is begun once, and what was wished is done."""

import asyncio
from uuid import uuid4

import pytest
from parley.jobs.v1 import jobs_pb2 as pb

from services.jobs.failpoints import Point
from services.rpc.failpoints import EXIT_FAILED
from tests.contract.jobs.worlds import WAIT_S, Around
from tests.integration.jobs.processes import running

SUBMITTING = (
    Point.SUBMIT_UNCOMMITTED,
    Point.SUBMIT_COMMITTED,
    Point.TRIGGER_BEGUN,
    Point.TRIGGERED,
    Point.TRIGGER_COMMITTED,
)


def request() -> pb.SubmitJobRequest:
    """A request for a job that needs no data."""
    work = pb.ImportModelSpec(model="acme", source="hub:acme/one")
    return pb.SubmitJobRequest(spec=pb.JobSpec(import_model=work), request_id=str(uuid4()))


async def has_run(around: Around, job_id: str) -> None:
    """Waits for a run in Airflow."""
    async with asyncio.timeout(WAIT_S):
        while job_id not in around.airflow.runs:  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("point", SUBMITTING)
async def test_a_death_between_a_submit_and_its_run(around: Around, point: Point):
    """The next process answers a repeat with the job, and there is one run, begun once."""
    asked = request()
    async with running(around, point) as client:
        await client.ask("SubmitJob", asked)
        assert await client.died() == EXIT_FAILED
    async with running(around) as client:
        answer = await client.ask("SubmitJob", asked)
        assert answer.job.id == asked.request_id
        await client.until_state(asked.request_id, pb.JOB_STATE_QUEUED)
        listed = await client.ask("ListJobs", pb.ListJobsRequest())
        assert [job.id for job in listed.jobs] == [asked.request_id]
        await has_run(around, asked.request_id)
        run = around.airflow.runs[asked.request_id]
        for task in ("register", "promote"):
            run.begin(task)
            run.end(task)
        await client.until_state(asked.request_id, pb.JOB_STATE_SUCCEEDED)
    assert list(around.airflow.runs) == [asked.request_id]
    assert [task["tries"] for task in run.tasks.values()] == [1, 1]


@pytest.mark.parametrize("point", [Point.CANCEL_COMMITTED, Point.STOPPED])
async def test_a_death_while_cancelling(around: Around, point: Point):
    """The next process ends the job."""
    asked = request()
    async with running(around, point) as client:
        await client.ask("SubmitJob", asked)
        await has_run(around, asked.request_id)
        around.airflow.runs[asked.request_id].begin("register")
        await client.until_state(asked.request_id, pb.JOB_STATE_RUNNING)
        await client.ask("CancelJob", pb.CancelJobRequest(id=asked.request_id))
        assert await client.died() == EXIT_FAILED
    async with running(around) as client:
        await client.until_state(asked.request_id, pb.JOB_STATE_CANCELLED)
    assert around.airflow.runs[asked.request_id].state == "failed"


@pytest.mark.parametrize("point", [Point.CLEAR_BEGUN, Point.CLEARED])
async def test_a_death_while_retrying(around: Around, point: Point):
    """The next process lets the run go on, and what was done stays done."""
    asked = request()
    async with running(around, point) as client:
        await client.ask("SubmitJob", asked)
        await has_run(around, asked.request_id)
        run = around.airflow.runs[asked.request_id]
        run.begin("register")
        run.end("register")
        run.begin("promote")
        run.end("promote", "failed")
        await client.until_state(asked.request_id, pb.JOB_STATE_FAILED)
        await client.ask("RetryJob", pb.RetryJobRequest(id=asked.request_id))
        assert await client.died() == EXIT_FAILED
    async with running(around) as client:
        await client.until_state(asked.request_id, pb.JOB_STATE_QUEUED)
        # The next one asks again for what was not written down, and only then the task begins.
        clears = 2 if point is Point.CLEARED else 1
        async with asyncio.timeout(WAIT_S):
            while len(around.airflow.clears) < clears:  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.05)
        assert run.tasks["promote"]["state"] is None
        assert run.tasks["register"]["state"] == "success"
        run.begin("promote")
        run.end("promote")
        await client.until_state(asked.request_id, pb.JOB_STATE_SUCCEEDED)
