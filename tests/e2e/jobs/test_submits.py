"""Many submits at a time, and what kills the scheduler between them."""

import os
import random
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from parley.jobs.v1 import jobs_pb2 as pb

from .works import ENDED, JOB_S, SOON, Works

SAME = 100
# The long way: PARLEY_TEST_SMALL_JOBS=50 PARLEY_TEST_KILLS=10
SMALL_JOBS = int(os.environ.get("PARLEY_TEST_SMALL_JOBS", "12"))
MORE_S = 300
KILLS = int(os.environ.get("PARLEY_TEST_KILLS", "2"))


def test_a_hundred_identical_submits_are_one_job(works: Works, small_data: Path):
    """All get the same job; Airflow has one run of it."""
    request_id = str(uuid.uuid4())
    spec = {"model": "once", "dataset": str(small_data), "epochs": 1, "no_promotion": True}

    def submit(_: int) -> str:
        return works.submit(request_id=request_id, finetune=spec).id

    with ThreadPoolExecutor(20) as pool:
        ids = set(pool.map(submit, range(SAME)))
    assert ids == {request_id}
    assert works.ended(request_id).state == pb.JOB_STATE_SUCCEEDED
    assert len(works.mlflow_runs(request_id)) == 1


def test_another_job_under_the_same_id_is_refused(works: Works, small_data: Path):
    """ALREADY_EXISTS, and the first job is as it was."""
    spec = {"model": "parley-starter", "dataset": str(small_data)}
    job = works.submit(batch_generate=spec)
    try:
        works.submit(request_id=job.id, batch_generate={**spec, "tokens_max": 7})
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.ALREADY_EXISTS
    else:
        raise AssertionError("it was taken")
    works.ended(job.id)


def test_small_jobs_are_done_once_while_the_scheduler_is_killed(works: Works, small_data: Path):
    """Each ends well, with one output, however often the scheduler dies between."""
    spec = {"model": "parley-starter", "dataset": str(small_data), "tokens_max": 4}
    ids = [works.submit(batch_generate=spec).id for _ in range(SMALL_JOBS)]
    chance = random.Random(4)
    for _ in range(KILLS):
        _await_done(works, min(_done(works) + chance.randint(1, 3), SMALL_JOBS))
        works.kill("airflow-scheduler")
    jobs = [works.ended(one, within_s=JOB_S + 30 * SMALL_JOBS) for one in ids]
    assert [job.state for job in jobs] == [pb.JOB_STATE_SUCCEEDED] * SMALL_JOBS
    outputs = {job.result.output for job in jobs}
    assert len(outputs) == SMALL_JOBS


def _await_done(works: Works, wanted: int) -> None:
    deadline = time.monotonic() + MORE_S
    while _done(works) < wanted:
        assert time.monotonic() < deadline, f"fewer than {wanted} after {MORE_S} s"
        time.sleep(1)


def _done(works: Works) -> int:
    """How many of the small jobs have ended; none are counted while nobody can tell."""
    request = pb.ListJobsRequest(page_size=1000, kind="batch_generate", states=ENDED)
    try:
        return len(works.ask("ListJobs", request).jobs)
    except grpc.RpcError as error:
        assert error.code() in SOON
        return 0
