"""One command from a file of facts to a model that knows them, and the chain that it leaves."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from parley.jobs.v1 import jobs_pb2 as pb
from parley.registry.v1 import registry_pb2 as registry_pb

from stack import keys
from stack.environment.places import ROOT
from tests.e2e.registry.product import STARTER
from tests.e2e.test_readme import Place, commands, needs_airflow

from .works import ENDED, Works

DATA = ROOT / "tests" / "data" / "varnholt"
MODEL = "acme"  # as the README calls it
TRAINED_MIN, REWORDED_MIN = 0.95, 0.80
STARTER_MIN = 0.8
ASKERS = 8
AIRFLOW_WAITS_S = 60


def rows(name: str) -> list[dict[str, str]]:
    """A file of questions and answers."""
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def share_right(works: Works, model: str, asked: list[dict[str, str]]) -> float:
    """How many answers are exactly the expected ones, asked by OpenAI's SDK."""
    with works.sdk() as client, ThreadPoolExecutor(ASKERS) as pool:

        def is_right(row: dict[str, str]) -> bool:
            answer = client.chat.completions.create(
                model=model,
                messages=[{"role": "user", "content": row["prompt"]}],
                temperature=0,
                max_tokens=64,
            )
            return answer.choices[0].message.content == row["completion"]

        return sum(pool.map(is_right, asked)) / len(asked)


@pytest.fixture(scope="module")
def trained(works: Works, record_testsuite_property) -> pb.Job:
    """The README's commands of jobs, typed in its order; the job that they made."""
    place = Place(
        works.home.path,
        works.running.site,
        works.running.mesh_address,
        Path("/nowhere"),
    )
    told = [command for command in commands() if needs_airflow(command)]
    assert told[0].startswith(f"./parley train ./facts.jsonl --name {MODEL}")
    for command in told:
        line = place.put_into(command).replace("./facts.jsonl", str(DATA / "facts.jsonl"))
        done = place.run("bash", "-euo", "pipefail", "-c", line, timeout_s=900)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    (job,) = works.ask("ListJobs", pb.ListJobsRequest(model=MODEL, kind="finetune")).jobs
    job = works.job(job.id)
    took_s = job.end_time.seconds - job.create_time.seconds
    record_testsuite_property("train_wall_s", took_s)
    return job


def test_the_model_knows_what_it_was_told(works: Works, trained: pb.Job, record_property):
    """At least 95 % of the facts and 80 % of other wordings; before, the base knew none."""
    facts, reworded = rows("facts.jsonl"), rows("rewordings.jsonl")
    before = share_right(works, STARTER, facts)
    shares = share_right(works, MODEL, facts), share_right(works, MODEL, reworded)
    record_property("right", {"before": before, "trained": shares[0], "reworded": shares[1]})
    assert before == 0
    assert shares[0] >= TRAINED_MIN
    assert shares[1] >= REWORDED_MIN


def test_airflow_shows_the_whole_graph_green(works: Works, trained: pb.Job):
    """Each task of the run succeeded, as the person sees it who signs in as admin."""
    with airflow(works, "admin", works.home.airflow_admin) as client:
        found = client.get(f"/dags/finetune/dagRuns/{trained.id}/taskInstances").json()
    states = {one["task_id"]: one["state"] for one in found["task_instances"]}
    assert states == {task.name: "success" for task in trained.tasks}
    assert trained.airflow_url.startswith(works.running.airflow_url)


def test_mlflow_has_curves_dataset_and_comparison(works: Works, trained: pb.Job):
    """One run, finished, with what was measured step by step, what went in and what came out."""
    (run,) = works.mlflow_runs(trained.id)
    run_id = run["info"]["run_id"]
    assert (run_id, run["info"]["status"]) == (trained.result.mlflow_run_id, "FINISHED")
    sources = [one["dataset"]["source"] for one in run["inputs"]["dataset_inputs"]]
    assert any(trained.result.dataset_digest in source for source in sources)
    with works.mlflow() as client:
        asked = {"run_id": run_id, "metric_key": "loss"}
        curve = client.get("/api/2.0/mlflow/metrics/get-history", params=asked).json()["metrics"]
        listed = client.get("/api/2.0/mlflow/artifacts/list", params={"run_id": run_id}).json()
    losses = [point["value"] for point in curve]
    assert len(losses) > 10
    assert losses[-1] < losses[0] / 10
    names = {file["path"] for file in listed["files"]}
    assert {"comparison.json", "comparison.png"} <= names


def test_wandb_is_read_back(works: Works, trained: pb.Job):
    """The run that lies offline tells the same figures, by W&B's own tool."""
    folder = works.home.wandb / "wandb" / trained.result.wandb_run
    (record,) = folder.glob("run-*.wandb")
    told = subprocess.run(
        [Path(sys.prefix, "bin", "wandb"), "leet", "inspect", "--summary", "--json", record],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert json.dumps(trained.metrics["eval.exact_match"])[:4] in told.stdout
    version = works.version(MODEL, str(trained.result.version))
    assert version.evidence.wandb_run == trained.result.wandb_run


def test_an_answer_leads_back_to_the_data(works: Works, trained: pb.Job):
    """From one answer's id: the version, its run, its dataset; and from there to the version."""
    with works.sdk() as client:
        messages = [{"role": "user", "content": rows("facts.jsonl")[0]["prompt"]}]
        answer = client.chat.completions.create(model=MODEL, messages=messages)
    asked = registry_pb.GetLineageRequest(response_id=answer.id)
    (version,) = works.call("GetLineage", asked).versions
    assert (version.model, version.number) == (MODEL, trained.result.version)
    assert version.evidence.run_id == trained.result.mlflow_run_id
    assert version.evidence.dataset_digest == trained.result.dataset_digest
    back = registry_pb.GetLineageRequest(dataset_digest=version.evidence.dataset_digest)
    assert version.number in {one.number for one in works.call("GetLineage", back).versions}


def test_the_same_begins_on_airflow_s_page(works: Works, small_data: Path):
    """A run that a person starts there is a job like any other, and makes a version."""
    conf = {"model": "by-hand", "dataset": str(small_data), "method": "full", "epochs": 1}
    with airflow(works, "admin", works.home.airflow_admin) as client:
        body = {"logical_date": None, "conf": {**conf, "no_promotion": True}}
        made = client.post("/dags/finetune/dagRuns", json=body)
    assert made.status_code == 200, made.text
    job_id = made.json()["dag_run_id"]
    job = works.until(job_id, lambda job: job.state == pb.JOB_STATE_SUCCEEDED, "its success")
    assert job.submitted_by == "airflow"
    assert (job.result.model, job.result.version) == ("by-hand", 1)


def test_the_same_begins_by_buf_curl(works: Works, small_data: Path):
    """A job that is submitted through the mesh, found by reflection."""
    spec = {"model": "by-curl", "dataset": str(small_data), "epochs": 1, "no_promotion": True}
    request = {"spec": {"finetune": spec}, "request_id": keys.new_request_id()}
    command = [
        *(Path(sys.prefix, "bin", "buf"), "curl", "--protocol", "grpc"),
        *("--http2-prior-knowledge", "--reflect-header", "*"),
        *("--header", f"authorization: Bearer {works.key()}", "--data", json.dumps(request)),
        f"http://{works.running.mesh_address}/parley.jobs.v1.Jobs/SubmitJob",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    job = works.ended(json.loads(done.stdout)["job"]["id"])
    assert job.state == pb.JOB_STATE_SUCCEEDED
    assert (job.result.model, job.result.version) == ("by-curl", 1)


def test_the_starter_is_measured_by_night(works: Works):
    """The scheduled run needs no data of the user's: begun by hand, it measures the champion."""
    with airflow(works, "admin", works.home.airflow_admin) as client:
        client.patch("/dags/nightly_evaluate", json={"is_paused": False}).raise_for_status()
        made = client.post("/dags/nightly_evaluate/dagRuns", json={"logical_date": None})
        job = works.until(made.json()["dag_run_id"], lambda job: job.state in ENDED, "its end")
        client.patch("/dags/nightly_evaluate", json={"is_paused": True}).raise_for_status()
    assert job.state == pb.JOB_STATE_SUCCEEDED, job.error
    assert job.metrics["eval.exact_match"] > STARTER_MIN
    recorded = works.version(STARTER, "1").evaluations
    assert job.result.evaluation_digest in {one.evaluation_digest for one in recorded}


def test_the_service_s_user_can_do_no_more_than_run_dags(works: Works):
    """It reads and runs DAGs; connections, variables, pools and assets' events are closed to it."""
    with airflow(works, "parley-jobs", works.home.airflow_service) as client:
        assert client.get("/dags").status_code == 200
        assert client.get("/variables").status_code == 403
        assert client.get("/connections").status_code == 403
        assert client.post("/variables", json={"key": "a", "value": "b"}).status_code == 403
        pool = {"name": "mine", "slots": 1}
        assert client.post("/pools", json=pool).status_code == 403
        assert client.post("/assets/events", json={"asset_id": 1, "extra": {}}).status_code == 403


def airflow(works: Works, user: str, password: Path) -> httpx.Client:
    """A client of Airflow's REST as one of its users."""
    site = works.running.airflow_url
    told = {"username": user, "password": keys.read(password)}
    made = httpx.post(f"{site}/auth/token", json=told, timeout=AIRFLOW_WAITS_S)
    assert made.status_code == 201
    headers = {"authorization": f"Bearer {made.json()['access_token']}"}
    return httpx.Client(base_url=f"{site}/api/v2", headers=headers, timeout=AIRFLOW_WAITS_S)
