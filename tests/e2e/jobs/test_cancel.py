"""Ending a job while it trains."""

import time
from pathlib import Path

import psutil
from parley.jobs.v1 import jobs_pb2 as pb

from .works import Works

GONE_S = 15.0


def processes_of(works: Works, job_id: str) -> list[psutil.Process]:
    """Processes of this home's jobs: their environment names the folder, their files the job."""
    folder = str(works.home.path)
    found = []
    for process in psutil.process_iter():
        try:
            files = [one.path for one in process.open_files()]
        except psutil.Error:
            continue
        if any(path.startswith(folder) and job_id in path and "/jobs/" in path for path in files):
            found.append(process)
    return found


def test_a_cancelled_training_is_gone_soon(works: Works, small_data: Path, record_property):
    """CANCELLING at once, no process after 15 s, then CANCELLED; MLflow's run is KILLED."""
    spec = {"model": "cancelled", "dataset": str(small_data), "epochs": 1000}
    job = works.submit(finetune=spec)
    works.until_task(job.id, "train")
    assert processes_of(works, job.id), "the training holds a file of its job's folder"

    began = time.monotonic()
    answer = works.ask("CancelJob", pb.CancelJobRequest(id=job.id, reason="a test")).job
    assert answer.state == pb.JOB_STATE_CANCELLING
    while processes_of(works, job.id):
        assert time.monotonic() - began < GONE_S, "a process of the job is left"
    record_property("gone_after_s", round(time.monotonic() - began, 2))

    assert works.ended(job.id, within_s=60).state == pb.JOB_STATE_CANCELLED
    runs = works.mlflow_runs(job.id)
    assert [run["info"]["status"] for run in runs] == ["KILLED"]
