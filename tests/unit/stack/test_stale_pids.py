"""The pid file that a killed PostgreSQL leaves: of whom it may be, and when it must go."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from stack.stores import postgres

WAIT_S = 20


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A cluster's folder."""
    (tmp_path / "postgres").mkdir()
    return tmp_path / "postgres"


@pytest.fixture
def sleeper(data: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process with the cluster's folder in its command line, as the server's."""
    command = ["postgres", "-c", "import sys; sys.stdin.read()", str(data)]
    with subprocess.Popen(command, executable=sys.executable, stdin=subprocess.PIPE) as one:
        yield one
        one.kill()


def left(data: Path, pid: int) -> bool:
    """Whether the file of this pid is left where it is."""
    path = data / "postmaster.pid"
    path.write_text(f"{pid}\n{data}\n0\n5432\n\n\n0 0\n")
    postgres._forget_the_dead(data)
    return path.exists()


def test_the_server_of_the_cluster_keeps_its_file(data: Path, sleeper: subprocess.Popen[bytes]):
    """Whoever would start a second one is refused by PostgreSQL."""
    assert left(data, sleeper.pid)


def test_a_server_that_nobody_collected_is_forgotten(data: Path, sleeper: subprocess.Popen[bytes]):
    """kill -9 of everything, where the machine's first process is no init."""
    sleeper.kill()
    deadline = time.monotonic() + WAIT_S
    while psutil.Process(sleeper.pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
    assert not left(data, sleeper.pid)


def test_another_program_and_another_cluster_are_forgotten(
    data: Path, tmp_path: Path, sleeper: subprocess.Popen[bytes]
):
    """A pid is given anew, to another PostgreSQL too."""
    other = tmp_path / "other"
    other.mkdir()
    assert not left(other, sleeper.pid)


def test_what_postgres_mends_itself_is_left_to_it(data: Path):
    """A pid that nobody has, and half a file."""
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    assert left(data, gone.pid)
    (data / "postmaster.pid").write_text("")
    postgres._forget_the_dead(data)
    assert (data / "postmaster.pid").exists()
