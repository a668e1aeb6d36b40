"""Writes the pinned locks of `requirements/` from their `.in` files."""

import os
import subprocess
from dataclasses import dataclass

from stack.environment.packages import installer, uv_settings
from stack.environment.places import Places
from stack.errors import StackError

TIMEOUT_S = 600
# Locks name packages and digests only: no index, no path, for every machine and Python from 3.11.
FORM = (
    *("--universal", "--python-version", "3.11", "--generate-hashes"),
    *("--no-annotate", "--no-header", "--no-emit-index-url", "--no-emit-find-links", "--quiet"),
)


@dataclass(frozen=True)
class Lock:
    """One lock, and how it is made."""

    name: str
    overrides: str = ""
    newest: str = ""
    """The day after which nothing is taken; empty for today."""


# In this order: test.in holds to what parley.txt pins. Airflow's packages are as of the week of its
# release: newer ones have not been tried with it.
ALL = (
    Lock("setup"),
    Lock("parley", "overrides.txt"),
    Lock("test"),
    Lock("airflow", newest="2026-09-20"),
)


def write_all(places: Places, upgrade: bool) -> list[str]:
    """Writes every lock; gives their names. Raises StackError with uv's words when one fails."""
    uv = installer(places)
    if uv is None:
        raise StackError("Locks are written by uv, which is not here.", mend="Put uv on PATH.")
    settings = uv_settings(places)
    for lock in ALL:
        command = [str(uv), "pip", "compile", *FORM, f"{lock.name}.in", "-o", f"{lock.name}.txt"]
        command += ["--override", lock.overrides] if lock.overrides else []
        command += ["--exclude-newer", lock.newest] if lock.newest else []
        command += ["--upgrade"] if upgrade else []
        run = subprocess.run(
            command,
            cwd=places.root / "requirements",
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        if run.returncode != 0:
            said = run.stderr.splitlines()
            raise StackError(f"{lock.name}.txt could not be written.", evidence=said[-8:])
    return [lock.name for lock in ALL]
