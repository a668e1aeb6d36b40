"""What is started for jobs, and what it is told."""

import stat
import sys
from pathlib import Path

import pytest

from stack import keys
from stack.errors import StackError
from stack.jobs import airflow, airflow_cfg, airflow_users, life
from stack.plan import JOBS, Program
from stack.ports import Ports
from stack.progress import Silent
from stack.stores import credentials
from stack.stores.own import Own, OwnMlflow, OwnPostgres, OwnWandb

PORTS = Ports(18080, 18081, 18082, 18083, (18084,), 18100, 15000, 19000, 18101, 18793)
HERE = Path(sys.executable)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An Airflow: a plan asks no more than whether its program is there."""
    monkeypatch.setattr(airflow, "_binary", lambda: HERE)


def plan(home, own: Own = Own(), *, with_airflow: bool = True) -> dict[str, Program]:  # noqa: B008
    """The programs, by name."""
    credentials.ensure(home, own)
    planned = life.programs(home, PORTS, own, with_airflow, Silent())
    return {program.name: program for program in planned}


def test_airflow_comes_behind_the_rest_and_is_not_waited_for(home, installed):
    """Chats do not wait for it."""
    found = plan(home)
    assert set(found) == {"jobs", *airflow.NAMES}
    assert all(found[name].wave == JOBS and not found[name].awaited for name in airflow.NAMES)
    assert found["jobs"].awaited


def test_each_part_of_airflow_is_asked_for(home, installed):
    """By the API server's health, which knows the others by their heartbeats."""
    found = plan(home)
    asked = {name: found[name].probes for name in airflow.NAMES}
    assert {name: [probe.part for probe in probes] for name, probes in asked.items()} == {
        "airflow-api": [""],
        "airflow-scheduler": ["scheduler"],
        "airflow-processor": ["dag_processor"],
        "airflow-triggerer": ["triggerer"],
    }
    assert len({probe.target for probes in asked.values() for probe in probes}) == 1


def test_without_airflow_there_is_still_feedback(home):
    """The service runs, and is told of no Airflow."""
    found = plan(home, with_airflow=False)
    assert list(found) == ["jobs"]
    assert not any("AIRFLOW" in name for name in found["jobs"].environment)


def test_a_database_of_the_user_s_without_one_for_airflow_leaves_it_out(home, installed):
    """Said in words, not failed."""
    own = Own(
        postgres=OwnPostgres(uri_parley="postgresql://h/a", uri_mlflow="postgresql://h/b"),
    )
    assert list(plan(home, own)) == ["jobs"]


def test_a_missing_airflow_is_said_with_the_mend(home, monkeypatch, tmp_path):
    """Before anything is started."""
    monkeypatch.setattr(airflow, "_binary", lambda: tmp_path / "none")
    with pytest.raises(StackError) as refused:
        plan(home)
    assert "--without jobs" in "\n".join(refused.value.lines())


def test_no_secret_is_in_arguments_or_environments(home, installed):
    """Files are named, and only their owner reads them."""
    found = plan(home)
    secrets = [path for path in home.secrets.rglob("*") if path.is_file()]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in secrets)
    passwords = [home.airflow_admin, home.airflow_service, home.airflow_jwt, home.airflow_fernet]
    for program in found.values():
        told = " ".join([*program.command, *program.environment.values()])
        assert not any(keys.read(path) in told for path in passwords)


def test_settings_are_for_loopback_and_two_cores(home, installed):
    """No examples, no log servers, no report of the use, and a user who has no right by role."""
    plan(home)
    told = airflow_cfg.settings(home, PORTS, "postgresql+psycopg://h/100%25")
    assert told["api"]["host"] == "127.0.0.1"
    assert told["core"]["load_examples"] is False
    assert told["core"]["parallelism"] == 2
    assert told["database"]["sql_alchemy_conn"] == "postgresql+psycopg://h/100%%25"
    assert told["usage_data_collection"]["enabled"] is False
    assert airflow_users.ROLES == {"admin": "admin", "parley-jobs": "viewer"}
    assert told["core"]["auth_manager"] == "stack.jobs.airflow_auth.ParleyAuthManager"


def test_tasks_are_told_where_everything_is(home, installed):
    """By the scheduler's environment, which they inherit; the user's W&B and MLflow, too."""
    key = home.path / "wandb_key"
    own = Own(
        mlflow=OwnMlflow(uri="http://h:2"),
        wandb=OwnWandb(mode="online", key_file=key, entity="us"),
    )
    told = plan(home, own)["airflow-scheduler"].environment
    assert told["PARLEY_TRAINING_MLFLOW_URL"] == "http://h:2"
    assert "MLFLOW_S3_ENDPOINT_URL" not in told
    assert told["PARLEY_TRAINING_WANDB_MODE"] == "online"
    assert told["PARLEY_TRAINING_WANDB_KEY_FILE"] == str(key)
    assert told["PARLEY_DAGS_PYTHON"] == sys.executable
    ours = plan(home)["airflow-scheduler"].environment
    assert ours["PARLEY_TRAINING_WANDB_MODE"] == "offline"
    assert ours["MLFLOW_S3_ENDPOINT_URL"] == "http://127.0.0.1:19000"


def test_a_restart_keeps_the_passwords(home, installed):
    """Who has signed in once knows them."""
    plan(home)
    before = keys.read(home.airflow_admin), keys.read(home.airflow_jwt)
    plan(home)
    assert (keys.read(home.airflow_admin), keys.read(home.airflow_jwt)) == before
