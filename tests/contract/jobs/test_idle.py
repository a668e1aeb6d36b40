"""How often Airflow is asked while nothing runs, and what ends the wait."""

import asyncio
from collections.abc import AsyncIterator, Callable
from uuid import uuid4

import pytest
from parley.jobs.v1 import jobs_pb2 as pb

from services.jobs.settings import Settings
from tests.contract.jobs.worlds import WAIT_S, Around, World, open_world
from tests.fakes.airflow import FakeRun

LONG_S = 60.0
CALLS = 50
LATE_S_MAX = 5.0


@pytest.fixture
async def idle(around: Around) -> AsyncIterator[World]:
    """A service that would look again in a minute, once it has nothing to do."""
    assert LONG_S > WAIT_S
    async with open_world(around, idle_poll_s=LONG_S) as world:
        await until(lambda: around.airflow.looks > 0)
        yield world


async def until(holds: Callable[[], bool]) -> None:
    """Waits until a condition holds; fails past the bound."""
    async with asyncio.timeout(WAIT_S):
        while not holds():  # noqa: ASYNC110 (the fake tells nobody)
            await asyncio.sleep(0.01)


async def done(world: World) -> None:
    """A job from its submit to its end."""
    job, run = await world.submitted()
    for task in ("register", "promote"):
        run.begin(task)
        run.end(task)
    await world.until_state(job.id, pb.JOB_STATE_SUCCEEDED)


async def test_a_submit_is_begun_at_once(idle: World):
    """Nobody waits for the next look; and while it runs there are many."""
    await done(idle)


async def test_with_nothing_to_do_airflow_is_left_alone(idle: World):
    """Also once a job has come and gone."""
    await done(idle)
    async with asyncio.timeout(WAIT_S):
        while True:
            before = idle.around.airflow.looks
            for _ in range(CALLS):  # each takes longer than a part of the short wait
                await idle.ask("ListSchedules", pb.ListSchedulesRequest())
            if idle.around.airflow.looks == before:
                return


async def test_a_change_of_a_schedule_is_followed_at_once(idle: World):
    """A run that was held back by it may begin."""
    before = idle.around.airflow.looks
    asked = pb.PauseScheduleRequest(name="nightly_evaluate", paused=False)
    await idle.ask("PauseSchedule", asked)
    await until(lambda: idle.around.airflow.looks > before)


async def test_a_task_that_tells_of_a_new_run_ends_the_wait(idle: World):
    """It was begun in Airflow, and is followed from its first report on."""
    run = FakeRun(str(uuid4()), "evaluate", {"model": "acme"})
    idle.around.airflow.runs[run.id] = run
    run.begin("prepare")
    before = idle.around.airflow.looks
    await idle.report(run.id, "prepare", str(uuid4()), 1, percent=1.0)
    await until(lambda: idle.around.airflow.looks > before)
    await idle.until_state(run.id, pb.JOB_STATE_RUNNING)


async def test_a_run_that_begins_behind_the_look_is_followed(around: Around):
    """It was found among the newest, when it had been looked for those that run."""
    run = FakeRun(str(uuid4()), "evaluate", {"model": "acme"})
    run.begin("prepare")
    around.airflow.late.append(run)
    async with open_world(around, idle_poll_s=LONG_S) as world:
        await until_listed(world, run)
        await world.until_state(run.id, pb.JOB_STATE_RUNNING)


async def test_a_scheduled_run_is_seen_without_being_told_of(around: Around):
    """At the next look, which is never further away than a few seconds."""
    assert Settings.model_fields["idle_poll_s"].default <= LATE_S_MAX
    async with open_world(around, idle_poll_s=0.3) as world:
        await until(lambda: around.airflow.looks > 0)
        run = FakeRun(f"scheduled__{uuid4()}", "nightly_evaluate", {})
        around.airflow.runs[run.id] = run
        await until_listed(world, run)


async def until_listed(world: World, run: FakeRun) -> None:
    """Waits until a run is a job; fails past the bound."""
    async with asyncio.timeout(WAIT_S):
        while run.id not in [job.id for job in await listed(world)]:  # noqa: ASYNC110 (a peer)
            await asyncio.sleep(0.02)


async def listed(world: World) -> list[pb.Job]:
    """All jobs."""
    return list((await world.ask("ListJobs", pb.ListJobsRequest())).jobs)
