"""Becomes one of Airflow's programs, once its tables are there: `python -m
stack.jobs.airflow_program ROLE`.

Airflow's programs end where the tables are missing. The first of them to come makes them, and the
others wait for it; a stamp tells that they are there for this version and this database. The
scheduler waits for the API server as well: a task that cannot ask it fails at its start. Before
that it ends the idle workers that an older one has left.
"""

import contextlib
import fcntl
import hashlib
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from stack import keys
from stack.environment.places import Places
from stack.home import Home
from stack.jobs import orphans
from stack.supervisor import MARK

MIGRATE_WITHIN_S = 600
API_WITHIN_S = 600.0
API_POLL_S = 0.5
ANSWER_WITHIN_S = 5.0
# Their log servers would listen on all addresses; the API server reads the same files.
ROLES = {
    "api": ["api-server"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}


def main(role: str) -> None:
    """Makes the tables where they are missing, then becomes the program."""
    binary = os.environ["PARLEY_AIRFLOW_BIN"]
    folder = Path(os.environ["AIRFLOW_HOME"])
    with (folder / "migrate.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _migrate(binary, folder / "migrated")
    if role == "scheduler":
        orphans.end_idle(Home(Path(os.environ[MARK])))
        _await_api(os.environ["PARLEY_AIRFLOW_HEALTH"])
    os.execv(binary, [binary, *ROLES[role]])  # noqa: S606 (no shell wanted)


def _migrate(binary: str, stamp: Path) -> None:
    wanted = _wanted()
    if stamp.exists() and stamp.read_text().strip() == wanted:
        return
    subprocess.run([binary, "db", "migrate"], check=True, timeout=MIGRATE_WITHIN_S)
    keys.write_private(stamp, f"{wanted}\n")


def _await_api(url: str) -> None:
    """Waits until the API server answers; past its bound the scheduler starts all the same."""
    deadline = time.monotonic() + API_WITHIN_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=ANSWER_WITHIN_S):  # noqa: S310 (loopback)
            return
        time.sleep(API_POLL_S)


def _wanted() -> str:
    """Airflow's pinned packages and its database."""
    config = Path(os.environ["AIRFLOW_CONFIG"]).read_text(encoding="utf-8")
    database = next(line for line in config.splitlines() if line.startswith("sql_alchemy_conn "))
    lock = Places.running().lock("airflow").read_bytes()
    return hashlib.sha256(lock + database.encode()).hexdigest()


if __name__ == "__main__":
    main(*sys.argv[1:])
