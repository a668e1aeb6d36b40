"""Airflow as programs of the stack: an API server with its page, a scheduler, a DAG processor and a
triggerer, in an environment of their own.

They start behind all else and nothing waits for them: a job that is submitted meanwhile begins when
they are there.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from stack.environment.places import Places
from stack.errors import StackError
from stack.home import Home, private_folder
from stack.jobs import airflow_cfg, airflow_users
from stack.plan import JOBS, Probe, Program
from stack.ports import LOOPBACK, Ports

API, SCHEDULER, PROCESSOR, TRIGGERER = (
    "airflow-api",
    "airflow-scheduler",
    "airflow-processor",
    "airflow-triggerer",
)
NAMES = (API, SCHEDULER, PROCESSOR, TRIGGERER)
# As the API server's health names them.
PARTS = {SCHEDULER: "scheduler", PROCESSOR: "dag_processor", TRIGGERER: "triggerer"}
UNHEARD = "unknown: the API server does not answer"
FIRST_WORDS = "starting; the first time it makes its tables"
# Asked to stop, the scheduler waits for its tasks, however long they take. They are in groups of
# their own: the sweep behind a stop asks them to end, upon which they write a checkpoint.
STOP_WITHIN_S = {SCHEDULER: 3.0}


def prepare(home: Home, ports: Ports, database_uri: str) -> None:
    """Writes Airflow's settings and users for these ports. Safe to repeat.

    Raises StackError where Airflow is not installed.
    """
    if not _binary().exists():
        raise StackError(
            f"Airflow is not installed: there is no {_binary()}.",
            mend="Install it with: ./parley up\nOr do without: ./parley up --without jobs",
        )
    for folder in (home.airflow, home.jobs, home.wandb):
        private_folder(folder)
    airflow_users.ensure(home)
    airflow_cfg.write(home, ports, database_uri)


def programs(home: Home, ports: Ports, tasks: Mapping[str, str]) -> tuple[Program, ...]:
    """The four programs. `tasks` is what tasks are told, which they inherit of the scheduler."""
    return tuple(_program(home, ports, name, tasks) for name in NAMES)


def page_url(ports: Ports) -> str:
    """The address of Airflow's page, which asks for a name and a password."""
    return f"http://{LOOPBACK}:{ports.airflow}"


def _binary() -> Path:
    """The program of Airflow's environment, which lies beside the one that runs this."""
    return Places.running().airflow.venv / "bin" / "airflow"


def _probe(name: str, health: str) -> Probe:
    """The API server answers for itself; the others it knows by their heartbeats."""
    if name == API:
        return Probe("http", health, waiting=FIRST_WORDS)
    return Probe("http", health, part=PARTS[name], waiting=UNHEARD)


def _program(home: Home, ports: Ports, name: str, tasks: Mapping[str, str]) -> Program:
    role = name.removeprefix("airflow-")
    health = f"{page_url(ports)}/api/v2/monitor/health"
    return Program(
        name=name,
        wave=JOBS,
        command=(sys.executable, "-m", "stack.jobs.airflow_program", role),
        environment={
            "AIRFLOW_HOME": str(home.airflow),
            "AIRFLOW_CONFIG": str(home.airflow_config),
            "PARLEY_AIRFLOW_BIN": str(_binary()),
            "PARLEY_AIRFLOW_HEALTH": health,
            # Its processes write titles over their environment, and the sweep knows them by that.
            "SPT_NOENV": "1",
            # uvicorn and the task's supervisor fork; see services/__init__.py.
            "GRPC_ENABLE_FORK_SUPPORT": "0",
            "DO_NOT_TRACK": "true",
            **tasks,
        },
        probes=(_probe(name, health),),
        ready_within_s=300,
        stop_within_s=STOP_WITHIN_S.get(name, 15.0),
        awaited=False,
    )
