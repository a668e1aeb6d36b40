"""The table of feedback's own migrations, beside those of jobs, and the store that holds it."""

from pathlib import Path

from services.jobs.data.tables import SCHEMA
from services.rpc.store import Store

MIGRATIONS = Path(__file__).with_name("migrations")


def open_store(uri: str, deadline_s: float = 1.0) -> Store:
    """Makes the store of feedback; `open` it before use."""
    return Store(uri, deadline_s, MIGRATIONS, schema=SCHEMA)
