"""Airflow's processes name themselves; they must stay known by their environment."""

import subprocess
from pathlib import Path

import pytest

from stack import leftovers
from stack.environment.places import Places
from stack.home import Home
from stack.jobs import airflow
from stack.ports import Ports
from stack.supervisor import MARK

TITLED = """
import setproctitle, sys
setproctitle.setproctitle("airflow worker -- LocalExecutor: <idle> " + "x" * 2000)
print(flush=True)
sys.stdin.read()
"""
PORTS = Ports(18080, 18081, 18082, 18083, (18084,), 18100, 15000, 19000, 18101, 18793)


@pytest.mark.parametrize("name", airflow.NAMES)
def test_a_process_with_a_title_is_found_by_its_home(tmp_path: Path, name: str):
    """However long the title, `down` and the next `up` find what is left."""
    home = Home(tmp_path)
    (program,) = [one for one in airflow.programs(home, PORTS, {}) if one.name == name]
    with subprocess.Popen(
        [Places.running().airflow.python, "-c", TITLED],
        env={MARK: str(home.path), "PATH": "/usr/bin:/bin", **program.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        process.stdout.readline()
        assert process.pid in [found.pid for found in leftovers.find(home)]
