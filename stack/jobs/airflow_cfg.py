"""Airflow's settings as a file for its owner alone, for some of them are secret.

Sections and names are of Airflow 3.3's reference of configuration.
"""

import configparser
import io
from collections.abc import Mapping

from stack import keys
from stack.environment.places import ROOT
from stack.home import Home
from stack.jobs import airflow_users
from stack.ports import LOOPBACK, Ports

AUTH_MANAGER = "stack.jobs.airflow_auth.ParleyAuthManager"
# Two cores. A job's tasks follow each other; a second job may prepare while the first one trains.
TASKS_MAX = 2
# An API server that is away for ten minutes ends no task: 120 beats of 5 s.
FAILED_HEARTBEATS_MAX = 120


def write(home: Home, ports: Ports, database_uri: str) -> None:
    """Writes the file, whole or not at all."""
    parser = configparser.RawConfigParser()
    parser.read_dict(settings(home, ports, database_uri))
    text = io.StringIO()
    parser.write(text)
    keys.write_private(home.airflow_config, text.getvalue())


def settings(home: Home, ports: Ports, database_uri: str) -> Mapping[str, Mapping[str, object]]:
    """All that differs from what Airflow does by itself. Holds secrets."""
    site = f"http://{LOOPBACK}:{ports.airflow}"
    users = ",".join(f"{name}:{role}" for name, role in airflow_users.ROLES.items())
    # Airflow puts the values of this file through "%" once more.
    uri = database_uri.replace("%", "%%")
    return {
        "core": {
            "executor": "LocalExecutor",
            "parallelism": TASKS_MAX,
            "max_active_tasks_per_dag": TASKS_MAX,
            "dags_folder": ROOT / "dags",
            "load_examples": False,
            "auth_manager": AUTH_MANAGER,
            "execution_api_server_url": f"{site}/execution/",
            "simple_auth_manager_users": users,
            "simple_auth_manager_passwords_file": home.airflow_passwords,
            "fernet_key": keys.read(home.airflow_fernet),
        },
        "database": {
            "sql_alchemy_conn": uri,
            # By itself it would take asyncpg, which is not here.
            "sql_alchemy_conn_async": uri,
            "sql_alchemy_pool_size": 5,
            "load_default_connections": False,
        },
        "api": {
            "host": LOOPBACK,
            "port": ports.airflow,
            "base_url": site,
            "workers": 1,
            "secret_key": keys.read(home.airflow_api),
            "expose_config": False,
            "instance_name": "Parley",
        },
        "api_auth": {"jwt_secret": keys.read(home.airflow_jwt)},
        "workers": {"max_failed_heartbeats": FAILED_HEARTBEATS_MAX, "min_heartbeat_interval": 2},
        "scheduler": {
            # A task whose process was killed begins anew after about a minute, not after five.
            "task_instance_heartbeat_timeout": 60,
            "orphaned_tasks_check_interval": 30,
            "parsing_pre_import_modules": False,
        },
        "dag_processor": {"refresh_interval": 10, "parsing_processes": 1},
        "triggerer": {"capacity": 100},
        "logging": {"base_log_folder": home.logs / "airflow", "colored_console_log": False},
        "usage_data_collection": {"enabled": False},
    }
