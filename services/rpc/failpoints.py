"""Points at which a process can be made to die, to show that it may die anywhere.

Nothing is armed unless a service's settings say so. Knows no service's points.
"""

import os
from enum import StrEnum

EXIT_FAILED = 70

_armed: set[StrEnum] = set()


def arm(name: str, points: type[StrEnum]) -> None:
    """Makes the process end when it reaches the point `name` of `points`; an empty name arms none.

    Raises ValueError when there is no such point.
    """
    _armed.clear()
    if name:
        _armed.add(points(name))


def reach(point: StrEnum) -> None:
    """Ends the process at once, as a crash would, when `point` is armed."""
    if point in _armed:
        os._exit(EXIT_FAILED)
