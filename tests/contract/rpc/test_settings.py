"""Settings as a real service reads them."""

import os
import subprocess
import sys
from pathlib import Path

from stack.environment.places import ROOT


def test_a_bad_setting_ends_the_process_before_a_port_opens(tmp_path: Path):
    """One line names the variable, the exit code is 78, and no socket was ever made."""
    done = subprocess.run(
        [sys.executable, "-m", "services.serving"],
        cwd=ROOT,
        env={
            "PATH": os.defpath,
            "PARLEY_SERVING_ADDRESS": f"unix:{tmp_path}/s.sock",
            "PARLEY_SERVING_MODEL_DIR": str(tmp_path),
            "PARLEY_SERVING_DRAIN_S": "soon",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 78
    assert done.stderr.startswith("parley: PARLEY_SERVING_DRAIN_S: ")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
