"""Short runs of the fault harness, each on a stack of its own with three replicas.

Long ones: `./parley chaos --minutes N`. A seed that once failed stays here by name.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from bench.chaos import checker, run
from bench.chaos.checker import Report
from bench.chaos.history import read_file
from bench.chaos.run import Options
from bench.chaos.schedule import Fault
from stack.errors import Exit
from stack.home import Home
from stack.supervisor import MARK

pytestmark = [pytest.mark.slow, pytest.mark.stack]

WAIT_S = 180.0
# Those that a replica's streams can only outlive by going on elsewhere.
MOVING = [Fault.KILL, Fault.STOP, Fault.ENGINE, Fault.BLACKHOLE]


def _strike(folder: Path, model: Path, faults: list[Fault], seconds: float) -> Report:
    """What a short run proves; its history is read from the file, as anybody would."""
    options = Options(seconds=seconds, seed=0, faults=tuple(faults))
    path = folder / "history.jsonl"
    home = Home(folder / "home")
    with path.open("w") as file, run.stack_for(home, model, options) as (running, proxies):
        run.run(running, proxies, options, file, print)
    return checker.examine(read_file(path))


def test_no_stream_breaks_under_faults(tmp_path: Path, talkative: Path):
    """Each stream is what the undisturbed stack said, those that had to migrate as well."""
    found = _strike(tmp_path, talkative, MOVING, seconds=66)
    assert (found.broken, found.gaps, found.repeats, found.different) == (0, 0, 0, 0)
    assert {one.fault for one in found.faults} == set(MOVING)
    assert found.migrations > 0


def test_an_interrupt_stops_the_stack_and_keeps_the_history(
    tmp_path_factory: pytest.TempPathFactory, talkative: Path
):
    """Ctrl-C in the midst of faults: exit code 130, no process is left, the history can be read."""
    folder = tmp_path_factory.mktemp("chaos")
    command = [sys.executable, "-m", "stack", "chaos", "--model", str(talkative)]
    told = {**os.environ, "PARLEY_HOME": str(folder / "home"), "TMPDIR": str(folder)}
    with subprocess.Popen(command, env=told, stderr=subprocess.PIPE, text=True) as process:
        said = iter(process.stderr)
        assert any(" well after " in line for line in said)
        assert _processes_below(folder)
        process.send_signal(signal.SIGINT)
        (line,) = [line for line in said if line.startswith("History: ")]
        assert process.wait(WAIT_S) == Exit.INTERRUPTED
    assert not _processes_below(folder)
    assert read_file(Path(line.removeprefix("History: ").strip()).expanduser()).struck


def _processes_below(folder: Path) -> list[psutil.Process]:
    """Whatever was started for a stack in that folder."""
    found = []
    for process in psutil.process_iter(["environ"]):
        mark = (process.info["environ"] or {}).get(MARK, "")
        if mark and Path(mark).is_relative_to(folder):
            found.append(process)
    return found
