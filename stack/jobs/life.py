"""What a stack starts for its jobs: always their service, and Airflow where it is wanted."""

from stack.home import Home
from stack.jobs import airflow, service, tasks
from stack.plan import Program
from stack.ports import Ports
from stack.progress import Narrator
from stack.stores import where
from stack.stores.own import Own

NO_DATABASE = "Airflow is left out: [postgres] in parley.toml names no uri_airflow."


def programs(
    home: Home, ports: Ports, own: Own, with_airflow: bool, narrator: Narrator
) -> tuple[Program, ...]:
    """The programs, with their settings and secrets written. Safe to repeat."""
    stores = where.find(home, ports, own)
    if with_airflow and not stores.airflow_uri:
        narrator.note(NO_DATABASE)
        with_airflow = False
    planned = service.program(home, ports, stores, with_airflow=with_airflow)
    if not with_airflow:
        return (planned,)
    airflow.prepare(home, ports, stores.airflow_uri)
    told = tasks.environment(home, ports, stores, own)
    return (planned, *airflow.programs(home, ports, told))
