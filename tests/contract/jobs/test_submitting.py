"""Taking jobs on: once, checked, and also while Airflow is away."""

import asyncio
from uuid import uuid4

import pytest
from parley.jobs.v1 import jobs_pb2 as pb

from services.rpc.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
)
from tests.contract.jobs.worlds import ROW, Around, World, open_world


def finetune(dataset: str, **fields: object) -> pb.SubmitJobRequest:
    """A request for a training."""
    work = pb.FinetuneSpec(model="acme", dataset=dataset, **fields)
    return pb.SubmitJobRequest(spec=pb.JobSpec(finetune=work), request_id=str(uuid4()))


async def test_a_job_is_taken_on_and_begun(world: World):
    """Its id is the request's and the run's; Airflow gets its fields flat, and who asked."""
    request = finetune(world.around.data(), method=pb.TRAINING_METHOD_LORA, seed=7)
    job, run = await world.submitted(request)
    assert (job.id, job.state, job.submitted_by) == (
        request.request_id,
        pb.JOB_STATE_QUEUED,
        "ada",
    )
    assert job.spec == request.spec
    assert [task.name for task in job.tasks][:2] == ["prepare", "train"]
    assert (run.dag, run.conf["model"], run.conf["seed"]) == ("finetune", "acme", 7)
    assert (run.conf["method"], run.conf["submitted_by"]) == ("TRAINING_METHOD_LORA", "ada")
    assert "finetune" not in world.around.airflow.paused
    (listed,) = (await world.ask("ListJobs", pb.ListJobsRequest(model="acme"))).jobs
    assert (listed.id, list(listed.tasks)) == (job.id, [])


async def test_a_hundred_identical_submits_are_one_job(world: World):
    """One job, one run, and the data are looked at once."""
    request = finetune(world.around.data())
    jobs = await asyncio.gather(*(world.submit(request) for _ in range(100)))
    assert {job.id for job in jobs} == {request.request_id}
    await world.run(request.request_id)
    assert len((await world.ask("ListJobs", pb.ListJobsRequest())).jobs) == 1
    assert world.around.airflow.triggers == [request.request_id]


async def test_an_id_belongs_to_its_first_request(world: World):
    """Other fields, or another caller, are refused."""
    request = world.importing()
    await world.submit(request)
    with pytest.raises(AlreadyExists):
        await world.submit(request, as_="eve")
    request.spec.import_model.model = "other"
    with pytest.raises(AlreadyExists) as caught:
        await world.submit(request)
    assert caught.value.reason == "REQUEST_ID_TAKEN"


@pytest.mark.parametrize(
    ("text", "line"), [(ROW * 6 + "{no json\n" + ROW, "7"), ("", None), (ROW, None)]
)
async def test_bad_data_are_refused(world: World, text: str, line: str | None):
    """The line is named, and nothing is taken on."""
    with pytest.raises(InvalidArgument) as caught:
        await world.submit(finetune(world.around.data(text)))
    assert caught.value.metadata["field"] == "dataset"
    assert caught.value.metadata.get("line") == line
    assert not (await world.ask("ListJobs", pb.ListJobsRequest())).jobs


@pytest.mark.parametrize("place", ["/etc/passwd", "file:///etc/hostname", "/nowhere/at/all"])
async def test_data_elsewhere_are_refused(world: World, place: str):
    """Only what lies below the folders for data is read, and words of it are never told."""
    with pytest.raises(InvalidArgument) as caught:
        await world.submit(finetune(place))
    assert caught.value.metadata == {"field": "dataset"}


async def test_a_link_out_of_the_folder_is_refused(world: World):
    """Where a link leads counts, not where it lies."""
    link = world.around.folder / "link.jsonl"
    link.symlink_to("/etc/passwd")
    with pytest.raises(InvalidArgument):
        await world.submit(finetune(str(link)))


async def test_a_base_must_exist(world: World):
    """A training of nothing is not begun."""
    with pytest.raises(NotFound) as caught:
        await world.submit(finetune(world.around.data(), base="nobody@3"))
    assert caught.value.metadata["field"] == "base"


async def test_jobs_wait_for_airflow(world: World):
    """Taken on while Airflow is away, begun once it is back."""
    world.around.airflow.down = True
    job = await world.submit()
    waiting = await world.until(job.id, lambda job: job.message == "Waiting for Airflow.")
    assert waiting.state == pb.JOB_STATE_QUEUED
    world.around.airflow.down = False
    await world.run(job.id)
    assert world.around.airflow.triggers == [job.id]


async def test_many_jobs_are_each_begun_once_by_an_airflow_that_comes_and_goes(world: World):
    """None is lost, none is begun twice."""
    jobs = []
    for number in range(50):
        world.around.airflow.down = number % 10 > 4
        jobs.append((await world.submit()).id)
    world.around.airflow.down = False
    for job_id in jobs:
        await world.run(job_id)
    assert sorted(world.around.airflow.triggers) == sorted(jobs)


async def test_one_dag_that_is_missing_keeps_no_other_job(world: World):
    """What can begin begins."""
    world.around.airflow.missing.add("pretrain_starter")
    spec = pb.JobSpec(pretrain_starter=pb.PretrainStarterSpec())
    stuck = await world.submit(pb.SubmitJobRequest(spec=spec, request_id=str(uuid4())))
    job, run = await world.submitted()
    for task in ("register", "promote"):
        run.begin(task)
        run.end(task)
    await world.until_state(job.id, pb.JOB_STATE_SUCCEEDED)
    assert (await world.get(stuck.id)).state == pb.JOB_STATE_QUEUED


async def test_airflow_may_forget_our_token(world: World):
    """A new one is asked for."""
    await world.submitted()
    world.around.airflow.restart()
    await world.submitted()


async def test_a_dag_that_is_not_read_yet_is_waited_for(world: World):
    """Airflow answers before it has read its folder."""
    world.around.airflow.missing.add("import_model")
    job = await world.submit()
    await world.until(job.id, lambda job: job.message == "Waiting for Airflow.")
    world.around.airflow.missing.clear()
    await world.run(job.id)


async def test_what_airflow_refuses_fails(world: World):
    """Its words are told, and it is not asked again."""
    world.around.airflow.refuse = "'epochs' must be positive"
    job = await world.submit()
    failed = await world.until_state(job.id, pb.JOB_STATE_FAILED)
    assert failed.error.reason == "AIRFLOW_REFUSED"
    assert "epochs" in failed.error.message


async def test_too_many_jobs_are_refused(around: Around):
    """The queue has an end; a repeat of what is in it has a place."""
    async with open_world(around, jobs_max=2) as world:
        request = world.importing()
        await world.submit(request)
        await world.submit()
        with pytest.raises(ResourceExhausted):
            await world.submit()
        assert (await world.submit(request)).id == request.request_id


async def test_without_airflow_jobs_are_off(around: Around):
    """What has been is shown; nothing is taken on."""
    async with open_world(around, airflow_url="") as world:
        with pytest.raises(FailedPrecondition) as caught:
            await world.submit()
        assert caught.value.reason == "JOBS_OFF"
        assert not (await world.ask("ListJobs", pb.ListJobsRequest())).jobs
        assert not (await world.ask("ListSchedules", pb.ListSchedulesRequest())).schedules
