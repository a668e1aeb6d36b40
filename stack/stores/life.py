"""What a stack does for its stores, step by step: before it starts, and after a wave is ready.

Every step is safe to interrupt and to repeat.
"""

from stack import first_model
from stack.home import Home, private_folder
from stack.plan import REGISTRY, STORES, Plan, Program
from stack.ports import Ports
from stack.progress import Narrator
from stack.stores import checks, credentials, mlflow, postgres, registry, s3, where
from stack.stores.own import Own


def prepare(home: Home, own: Own, narrator: Narrator) -> None:
    """Makes secrets, the database cluster and the bucket, as far as they are ours and missing.

    Raises StackError with the mend when a store of the user's cannot be used.
    """
    for folder in (home.imports, home.serving_cache):
        private_folder(folder)
    credentials.ensure(home, own)
    checks.require_own(home, own, narrator)
    if not own.postgres:
        postgres.prepare(home, narrator)
    if not own.s3:
        s3.prepare(home, where.BUCKET)


def programs(home: Home, ports: Ports, own: Own) -> tuple[Program, ...]:
    """The stores that are ours, and the registry."""
    stores = where.find(home, ports, own)
    planned = [registry.program(home, ports, stores)]
    if not own.mlflow:
        planned.insert(0, mlflow.program(home, stores))
    if not own.s3:
        planned.insert(0, s3.program(home, ports.s3, stores))
    if not own.postgres:
        planned.insert(0, postgres.program(home))
    return tuple(planned)


def traces(home: Home, ports: Ports, own: Own) -> dict[str, str]:
    """What the gateway is told, so that spans of a share of the chats go to MLflow."""
    stores = where.find(home, ports, own)
    told = {"ADDRESS": stores.mlflow_address, "TOKEN_FILE": stores.mlflow_token_file}
    return {f"PARLEY_GATEWAY_TRACES_{name}": value for name, value in told.items() if value}


def after_wave(planned: Plan, wave: int, narrator: Narrator) -> None:
    """Makes databases once PostgreSQL is ready, and a first model once the registry is."""
    if wave == STORES and planned.has(postgres.NAME):
        postgres.ensure_databases(planned.home, narrator)
    if wave == REGISTRY and planned.has(registry.NAME):
        first_model.ensure(planned.home, narrator)
