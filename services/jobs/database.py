"""The jobs service's own tables: where their migrations are, and the store that holds them."""

from pathlib import Path

from services.jobs.failpoints import Point
from services.jobs.tables import SCHEMA
from services.rpc.failpoints import reach
from services.rpc.store import Store

MIGRATIONS = Path(__file__).with_name("migrations")


def open_store(uri: str, deadline_s: float = 1.0) -> Store:
    """Makes the store of the tables of jobs; `open` it before use."""
    return Store(
        uri,
        deadline_s,
        MIGRATIONS,
        schema=SCHEMA,
        before_commit=lambda: reach(Point.MIGRATION_UNCOMMITTED),
    )
