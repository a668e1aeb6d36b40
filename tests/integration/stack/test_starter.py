"""Claims about the process that makes the starter model."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stack.environment.places import ROOT

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_making_leaves_nothing(tmp_path: Path, how: signal.Signals) -> None:
    """Ctrl-C and kill alike clear up, from the first thing that is said on."""
    with subprocess.Popen(
        [sys.executable, "-m", "stack.starter", tmp_path / "m"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["fraction"] == 0
        process.send_signal(how)
        assert process.wait(60) != 0
    assert {path.name for path in tmp_path.iterdir()} == {".m.lock"}
