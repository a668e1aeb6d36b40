"""Ends the idle task workers of a scheduler that was killed, which wait for it for ever.

One that runs a task is left alone: the task goes on, and tells the API server what it came to.
"""

from contextlib import suppress

import psutil

from stack import leftovers
from stack.home import Home

# How Airflow's LocalExecutor names its workers, and those of them that have no task.
WORKER, IDLE = "airflow worker -- LocalExecutor", "<idle>"


def end_idle(home: Home) -> int:
    """Ends the idle workers of `home` whose scheduler is gone; gives how many there were.

    Call it before a scheduler starts: all workers that there are then belong to an older one.
    """
    return sum(_end(worker) for worker in leftovers.find(home) if _is_idle(worker))


def _end(worker: psutil.Process) -> bool:
    """Whether it was ended. It is held still for the second look, so that no task slips in."""
    with suppress(psutil.NoSuchProcess):
        worker.suspend()
        if _is_idle(worker):
            worker.kill()
            return True
        worker.resume()
    return False


def _is_idle(worker: psutil.Process) -> bool:
    """Whether it says so, has no process at work for it, and nobody to get a task from."""
    with suppress(psutil.Error):
        title = " ".join(worker.cmdline())
        says_so = title.startswith(WORKER) and IDLE in title
        return says_so and not worker.children() and not _has_scheduler(worker)
    return False


def _has_scheduler(worker: psutil.Process) -> bool:
    """Whether its parent is of this home. Orphans get the machine's first process for a parent,
    which may not be looked at, even by root in a container."""
    mark, parent = leftovers.mark_of(worker), worker.parent()
    with suppress(psutil.Error):
        return parent is not None and leftovers.mark_of(parent) == mark
    return False
