"""Points at which the process can be made to die, to show that it may die anywhere.

`PARLEY_REGISTRY_FAIL_AT` names one; nothing is armed otherwise.
"""

from enum import StrEnum

from services.rpc import failpoints
from services.rpc.failpoints import EXIT_FAILED, reach

__all__ = ["EXIT_FAILED", "Point", "arm", "reach"]


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


def arm(name: str) -> None:
    """Makes the process end when it reaches the point `name`; an empty name arms none.

    Raises ValueError when there is no such point.
    """
    failpoints.arm(name, Point)
