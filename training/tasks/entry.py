"""How a scheduler calls a task: by the names of its module and function, in its own process."""

from importlib import import_module
from typing import Any

from training.errors import JobFailure
from training.priority import give_way

EXIT_HOPELESS = 65
"""EX_DATAERR of BSD's sysexits.h: no repeat can mend what happened."""


def call(module: str, name: str, job: dict[str, Any], outcomes: dict[str, Any]) -> Any:
    """Calls `training.tasks.MODULE.NAME(job, **outcomes)` and returns what it came to.

    Raises SystemExit(65) for a JobFailure, which was told to Jobs by then; else what it raises.
    """
    give_way()
    work = getattr(import_module(f"training.tasks.{module}"), name)
    try:
        return work(job, **outcomes)
    except JobFailure:
        raise SystemExit(EXIT_HOPELESS) from None
