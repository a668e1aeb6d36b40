"""The registry's own tables: where their migrations are, and the store that holds them."""

from pathlib import Path

from services.registry.failpoints import Point, reach
from services.rpc.store import Store

MIGRATIONS = Path(__file__).with_name("migrations")


def open_store(uri: str, deadline_s: float = 1.0) -> Store:
    """Makes the store of the registry's tables; `open` it before use."""
    return Store(
        uri, deadline_s, MIGRATIONS, before_commit=lambda: reach(Point.MIGRATION_UNCOMMITTED)
    )
