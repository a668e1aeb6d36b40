"""A job's folder: outcomes of its tasks, and a lock so that two processes never work at once.

Knows nothing of what the tasks do.
"""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from training.errors import Unavailable

LOCK_S = 60.0
"""How long a younger process waits for an older one to leave."""
_POLL_S = 0.1


class Workspace:
    """The folder of one job."""

    def __init__(self, root: Path, job_id: str) -> None:
        self.folder = root / quote(job_id, safe="")
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def outcome(self, task: str) -> dict[str, Any] | None:
        """What a task came to, if it is done."""
        try:
            found: dict[str, Any] = json.loads((self.folder / f"{task}.json").read_text())
        except FileNotFoundError:
            return None
        return found

    def keep_outcome(self, task: str, outcome: dict[str, Any]) -> None:
        """Writes down that a task is done; whole or not at all."""
        path = self.folder / f"{task}.json"
        part = path.with_name(path.name + ".part")
        with part.open("w", encoding="utf-8") as file:
            json.dump(outcome, file)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)

    @contextmanager
    def lock(self, check: Callable[[], None], wait_s: float = LOCK_S) -> Iterator[None]:
        """Holds the job alone; the lock ends with the process. `check` may raise while it waits.

        Raises Unavailable when another process does not leave.
        """
        handle = os.open(self.folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            end_s = time.monotonic() + wait_s
            while not _try_lock(handle):
                check()
                if time.monotonic() > end_s:
                    raise Unavailable("another process still works on this job")
                time.sleep(_POLL_S)
            yield
        finally:
            os.close(handle)


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
