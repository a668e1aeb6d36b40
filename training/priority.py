"""How a process that trains or exports stands behind those that serve on the same machine."""

import os

_NICENESS = 10


def give_way() -> None:
    """Lowers the priority of this process, and of what it starts, for good."""
    os.nice(_NICENESS)
