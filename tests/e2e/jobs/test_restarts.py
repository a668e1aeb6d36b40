"""Parts that die, stop or start anew while a job trains."""

import time
from pathlib import Path

import psutil
import pytest
from parley.jobs.v1 import jobs_pb2 as pb

from stack.supervisor import ENDED as STOPPED

from .works import Works

AWAY_S = 60.0


def begin(works: Works, small_data: Path, model: str) -> pb.Job:
    """A job whose training takes about a minute, at work."""
    spec = {"model": model, "dataset": str(small_data), "epochs": 400, "no_promotion": True}
    job = works.submit(finetune=spec)
    return works.until_task(job.id, "train")


def assert_done_once(works: Works, job_id: str, model: str) -> None:
    """It succeeded, has one run, and made one version."""
    job = works.ended(job_id)
    assert job.state == pb.JOB_STATE_SUCCEEDED, job.error
    assert len(works.mlflow_runs(job_id)) == 1
    assert job.result.version == 1
    assert works.version(model, "1").evidence.run_id == job.result.mlflow_run_id


@pytest.mark.parametrize("program", ["airflow-scheduler", "airflow-api", "postgres", "mlflow"])
def test_a_training_survives_the_death_of(works: Works, small_data: Path, program: str):
    """kill -9 while it trains: it goes on, or anew from its checkpoint; nothing is doubled."""
    model = f"killed-{program}"
    job = begin(works, small_data, model)
    works.kill(program)
    assert_done_once(works, job.id, model)


@pytest.mark.parametrize("program", ["airflow-api", "mlflow"])
def test_a_training_survives_a_minute_without(works: Works, small_data: Path, program: str):
    """The part is stopped for a minute while it trains."""
    model = f"without-{program}"
    job = begin(works, small_data, model)
    works.supervisor.stop(program)
    began = time.monotonic()
    while time.monotonic() - began < AWAY_S:
        assert works.supervisor.processes()[program].state in STOPPED
        time.sleep(1)
    works.supervisor.start(program)
    assert_done_once(works, job.id, model)


def test_a_training_goes_on_after_down_and_up(works: Works, small_data: Path):
    """`down` leaves no process and no port; after `up` the job ends as if nothing had been."""
    job = begin(works, small_data, "restarted")
    works.restart(between=lambda: assert_nothing_left(works))
    assert_done_once(works, job.id, "restarted")


def assert_nothing_left(works: Works) -> None:
    """No process has a file of this home open."""
    folder = str(works.home.path)
    for process in psutil.process_iter(["name"]):
        try:
            held = [one.path for one in process.open_files() if one.path.startswith(folder)]
        except psutil.Error:
            continue
        assert not held, f"{process.name()} is left and holds {held}"
