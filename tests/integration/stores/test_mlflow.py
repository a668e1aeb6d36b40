"""MLflow on PostgreSQL and the object store, and what all three must not give away."""

import os
import signal
import threading
from contextlib import suppress
from pathlib import Path

import httpx
import psycopg
import pytest

from stack import leftovers
from stack.errors import StackError
from stack.home import Home
from stack.plan import Plan
from stack.stores import checks, own, where
from tests.integration.stack.stacks import wait_until

from .stacks import ALL, database, kill, objects, pid_of, secrets_of, start

pytestmark = pytest.mark.slow


def client(home: Home) -> httpx.Client:
    """A client of MLflow's socket."""
    transport = httpx.HTTPTransport(uds=str(home.socket("mlflow")))
    return httpx.Client(transport=transport, base_url="http://localhost", timeout=30)


def make_run(home: Home) -> str:
    """A run in the default experiment; gives its id."""
    with client(home) as mlflow:
        asked = {"experiment_id": "0", "run_name": "kept"}
        answer = mlflow.post("/api/2.0/mlflow/runs/create", json=asked)
    answer.raise_for_status()
    return answer.json()["run"]["info"]["run_id"]


def run_of(home: Home, run_id: str) -> dict:
    """The run, as MLflow gives it."""
    with client(home) as mlflow:
        return mlflow.get("/api/2.0/mlflow/runs/get", params={"run_id": run_id}).json()["run"]


def test_every_store_is_found_well(stores):
    """The checks of doctor pass, and leave nothing behind in the bucket."""
    home = stores.plan.home
    found = checks.look(home, stores.plan.ports, own.read(home))
    assert [one.name for one in found if one.problem] == []
    assert len(found) == 4
    assert list(objects(stores).list_objects("parley", "parley-doctor/", recursive=True)) == []


def test_runs_survive_a_kill_of_mlflow_and_of_its_database(stores):
    """MLflow comes back by itself, and finds its database again when that was gone."""
    home = stores.plan.home
    run_id = make_run(home)
    for name in ("mlflow", "postgres"):
        kill(stores, name)
        assert run_of(home, run_id)["info"]["run_name"] == "kept"


def test_a_kill_while_mlflow_makes_its_tables_is_mended(home):
    """The start says so, and the next one goes on with them."""

    def kill_it() -> None:
        wait_until(lambda: count_tables(home) > 0, "MLflow's first tables", 120)
        os.kill(pid_of(home, "mlflow"), signal.SIGKILL)

    killer = threading.Thread(target=kill_it)
    killer.start()
    with pytest.raises(StackError, match="mlflow ended while starting"):
        start(home, ALL)
    killer.join()
    start(home, ALL)
    assert run_of(home, make_run(home))["info"]["run_name"] == "kept"


def count_tables(home: Home) -> int:
    """Tables in MLflow's database; none while it cannot be asked."""
    ours = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    try:
        with database(home, "mlflow", "mlflow_db") as connection:
            return connection.execute(ours).fetchone()[0]
    except psycopg.OperationalError:
        return 0


def test_artifacts_go_to_the_object_store(stores):
    """Clients write them there themselves; the server is no detour."""
    home = stores.plan.home
    uri = run_of(home, make_run(home))["info"]["artifact_uri"]
    assert uri.startswith("s3://parley/mlflow/")


def test_mlflow_answers_to_its_own_names_only(stores):
    """A foreign name that leads here reaches nothing."""
    with client(stores.plan.home) as mlflow:
        path = "/api/2.0/mlflow/experiments/search?max_results=1"
        statuses = {
            host: mlflow.get(path, headers={"host": host}).status_code
            for host in ("localhost", "127.0.0.1:5000", "localhost:9", "evil.example")
        }
    assert statuses == {"localhost": 200, "127.0.0.1:5000": 200, "localhost:9": 200} | {
        "evil.example": 403
    }


def test_no_secret_is_in_an_argument_or_an_environment(stores):
    """Whoever lists processes learns none; nor does whoever reads the logs or the record."""
    home = stores.plan.home
    processes = leftovers.find(home)
    children = [child for one in processes for child in one.children(recursive=True)]
    shown = []
    for one in {*processes, *children}:
        for name in ("cmdline", "environ"):
            # PostgreSQL's helpers come and go.
            with suppress(FileNotFoundError, ProcessLookupError):
                shown.append(Path(f"/proc/{one.pid}/{name}").read_bytes().decode(errors="replace"))
    files = [*home.logs.iterdir(), home.record, home.supervisor_config]
    shown += [path.read_text(errors="replace") for path in files]
    assert len(shown) > 10
    told = [secret for secret in secrets_of(home) if any(secret in text for text in shown)]
    assert told == []


def test_nothing_is_open_to_other_users(stores):
    """Sockets and logs are their owner's, and no store but S3 has a port."""
    home = stores.plan.home
    paths = [*home.run.iterdir(), *home.logs.iterdir(), *home.data.iterdir()]
    loose = [path.name for path in paths if path.stat().st_mode & 0o077]
    assert loose == []
    connections = [one for process in leftovers.find(home) for one in process.net_connections()]
    assert {one.laddr.ip for one in connections if one.status == "LISTEN"} == {"127.0.0.1"}


def test_the_plan_of_a_stack_names_files_and_no_secret(stores):
    """Its record can be read by whoever helps."""
    home = stores.plan.home
    assert Plan.from_json(stores.plan.to_json()) == stores.plan
    assert str(home.pgpass) in where.admin_uri(home).replace("%2F", "/")
