"""How a scheduler calls a task: by the names of its module and function, in its own process."""

import os
from importlib import import_module
from typing import Any

from training.errors import JobFailure

EXIT_HOPELESS = 65
"""EX_DATAERR of BSD's sysexits.h: no repeat can mend what happened."""
NICENESS = 10
"""A process that serves goes before one that trains; an export beside them gives way as much."""


def call(module: str, name: str, job: dict[str, Any], outcomes: dict[str, Any]) -> Any:
    """Calls `training.tasks.MODULE.NAME(job, **outcomes)` and returns what it came to.

    Raises SystemExit(65) for a JobFailure, which was told to Jobs by then; else what it raises.
    """
    os.nice(NICENESS)
    work = getattr(import_module(f"training.tasks.{module}"), name)
    try:
        return work(job, **outcomes)
    except JobFailure:
        raise SystemExit(EXIT_HOPELESS) from None
