"""Airflow's own Python, in which the tests here run small scripts: Parley's has no Airflow."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stack.environment.places import Places

READ_S_MAX = 180

Told = dict[str, Any]


def told_by(script: str, *arguments: Path, home: Path, **environment: str) -> Told:
    """What a script beside this file prints as its last line, which is JSON."""
    python = Places.running().airflow.python
    if not python.exists():
        pytest.fail(f"there is no Airflow beside {sys.prefix}: make it with `./parley up`")
    told = subprocess.run(
        [python, Path(__file__).with_name(script), *arguments],
        env={
            "PATH": os.environ["PATH"],
            "AIRFLOW_HOME": str(home),
            "PYTHONDONTWRITEBYTECODE": "1",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=READ_S_MAX,
    )
    assert told.returncode == 0, told.stderr
    found: Told = json.loads(told.stdout.splitlines()[-1])
    return found
