"""Parts that die, stop or start anew while a job trains."""

import time
from pathlib import Path

import psutil
from parley.jobs.v1 import jobs_pb2 as pb

from stack import leftovers
from stack.supervisor import ENDED as STOPPED

from .works import Works

AWAY_S = 60.0
# Of these data, on two cores with nothing else to do.
ROUNDS_PER_S = 4


def begin(works: Works, small_data: Path, model: str, for_s: float) -> pb.Job:
    """A job whose training is at work, with enough to do for `for_s` seconds at least."""
    rounds = round(for_s * ROUNDS_PER_S)
    spec = {"model": model, "dataset": str(small_data), "epochs": rounds, "no_promotion": True}
    job = works.submit(finetune=spec)
    return works.until_task(job.id, "train")


def assert_done_once(works: Works, job_id: str, model: str) -> None:
    """It succeeded, has one run, and made one version."""
    job = works.ended(job_id)
    assert job.state == pb.JOB_STATE_SUCCEEDED, job.error
    assert [run["info"]["status"] for run in works.mlflow_runs(job_id)] == ["FINISHED"]
    assert job.result.version == 1
    assert works.version(model, "1").evidence.run_id == job.result.mlflow_run_id


def test_a_training_survives_deaths(works: Works, small_data: Path):
    """kill -9 of the scheduler, Airflow's API, PostgreSQL, MLflow and the jobs' service, one after
    the other: it goes on, or anew from its checkpoint; nothing is doubled."""
    job = begin(works, small_data, "killed", for_s=45)
    for program in ("airflow-scheduler", "airflow-api", "postgres", "mlflow", "jobs"):
        works.kill(program)
    assert_done_once(works, job.id, "killed")


def test_a_training_survives_a_minute_without(works: Works, small_data: Path):
    """MLflow and Airflow's API are stopped for a minute."""
    away = ("mlflow", "airflow-api")
    job = begin(works, small_data, "without", for_s=AWAY_S + 15)
    for program in away:
        works.stop(program)
    began = time.monotonic()
    while time.monotonic() - began < AWAY_S:
        assert all(works.supervisor.processes()[one].state in STOPPED for one in away)
        time.sleep(1)
    for program in away:
        works.supervisor.start(program)
    assert_done_once(works, job.id, "without")


def test_a_training_goes_on_after_down_and_up(works: Works, small_data: Path):
    """`down` leaves no process and no port; after `up` the job ends as if nothing had been."""
    job = begin(works, small_data, "restarted", for_s=30)
    works.restart(between=lambda: assert_nothing_is_left(works))
    works.until_airflow()
    assert_done_once(works, job.id, "restarted")


def assert_nothing_is_left(works: Works) -> None:
    """No process of this home, and nobody at its ports."""
    assert leftovers.find(works.home) == []
    listening = {one.laddr.port for one in psutil.net_connections("tcp") if one.status == "LISTEN"}
    assert not listening & set(works.running.plan.ports.all())
