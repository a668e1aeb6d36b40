"""What Airflow's API server lets the user of the jobs' service do."""

import uuid
from collections.abc import Iterator

import httpx
import pytest

from stack import keys
from stack.jobs.airflow_users import SERVICE

from .works import Works

RUN = "/api/v2/dags/finetune/dagRuns"
REFUSED = 403


@pytest.fixture(scope="module")
def airflow(works: Works) -> Iterator[httpx.Client]:
    """Airflow's REST interface, as the service's own user."""
    site = works.running.airflow_url
    body = {"username": SERVICE, "password": keys.read(works.home.airflow_service)}
    token = httpx.post(f"{site}/auth/token", json=body, timeout=30).json()["access_token"]
    headers = {"authorization": f"Bearer {token}"}
    with httpx.Client(base_url=site, headers=headers, timeout=30) as client:
        yield client


def test_the_service_s_calls_are_allowed(works: Works, airflow: httpx.Client):
    """A run is begun, read, listed, ended and let go on; a schedule is held and released."""
    run_id = str(uuid.uuid4())
    conf = {"model": "rights", "dataset": "/nowhere", "no_promotion": True}
    new = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
    assert airflow.post(RUN, json=new).status_code == 200
    assert airflow.post(RUN, json=new).status_code == 409
    assert airflow.get(f"{RUN}/{run_id}").json()["dag_id"] == "finetune"
    listed = airflow.post("/api/v2/dags/~/dagRuns/list", json={"dag_ids": ["finetune"]}).json()
    assert run_id in [run["dag_run_id"] for run in listed["dag_runs"]]
    wanted = {"dag_ids": ["finetune"], "dag_run_ids": [run_id]}
    tasks = airflow.post("/api/v2/dags/~/dagRuns/~/taskInstances/list", json=wanted).json()
    assert {task["task_id"] for task in tasks["task_instances"]} >= {"prepare", "train"}
    assert airflow.patch(f"{RUN}/{run_id}", json={"state": "failed"}).status_code == 200
    again = {"dry_run": True, "dag_run_id": run_id, "only_failed": False}
    cleared = airflow.post("/api/v2/dags/finetune/clearTaskInstances", json=again)
    assert cleared.status_code == 200
    for paused in (False, True):
        changed = airflow.patch("/api/v2/dags/nightly_evaluate", json={"is_paused": paused})
        assert changed.json()["is_paused"] is paused


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("DELETE", "/api/v2/dags/evaluate"),
        ("DELETE", f"{RUN}/none"),
        ("DELETE", f"{RUN}/none/taskInstances/train"),
        ("GET", f"{RUN}/none/taskInstances/train/logs/1"),
        ("GET", f"{RUN}/none/taskInstances/train/xcomEntries"),
        ("GET", "/api/v2/dagSources/finetune"),
        ("GET", "/api/v2/connections"),
        ("GET", "/api/v2/variables"),
        ("POST", "/api/v2/variables"),
        ("GET", "/api/v2/pools"),
        ("GET", "/api/v2/assets"),
        ("POST", "/api/v2/assets/events"),
        ("GET", "/api/v2/config"),
        ("GET", "/api/v2/eventLogs"),
        ("GET", "/api/v2/importErrors"),
        ("GET", "/api/v2/plugins"),
        ("GET", "/api/v2/jobs"),
    ],
)
def test_all_else_is_refused(airflow: httpx.Client, verb: str, path: str):
    """Whatever the service does not call."""
    bodies = {
        "/api/v2/variables": {"key": "k", "value": "v"},
        "/api/v2/assets/events": {"asset_id": 1, "extra": {}},
    }
    body = bodies.get(path) if verb == "POST" else None
    assert airflow.request(verb, path, json=body).status_code == REFUSED
