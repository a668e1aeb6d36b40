"""Points at which the process can be made to die, to show that it may die anywhere.

`PARLEY_REGISTRY_FAIL_AT` names one; nothing is armed otherwise.
"""

import os
from enum import StrEnum

EXIT_FAILED = 70


class Point(StrEnum):
    """Every step of registering, promoting and deleting begins or ends at one of these."""

    REGISTER_BEGUN = "register-begun"
    RUN_CREATED = "run-created"
    RUN_LOGGED = "run-logged"
    MODEL_CREATED = "model-created"
    VERSION_CREATED = "version-created"
    VERSION_READY_UNCOMMITTED = "version-ready-uncommitted"
    VERSION_READY = "version-ready"
    PROMOTE_UNCOMMITTED = "promote-uncommitted"
    PROMOTE_COMMITTED = "promote-committed"
    ALIAS_SET = "alias-set"
    DELETE_COMMITTED = "delete-committed"
    MIGRATION_UNCOMMITTED = "migration-uncommitted"


_armed: set[Point] = set()


def arm(name: str) -> None:
    """Makes the process end when it reaches the point `name`; an empty name arms none.

    Raises ValueError when there is no such point.
    """
    _armed.clear()
    if name:
        _armed.add(Point(name))


def reach(point: Point) -> None:
    """Ends the process at once, as a crash would, when `point` is armed."""
    if point in _armed:
        os._exit(EXIT_FAILED)
