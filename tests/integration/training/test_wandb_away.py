"""W&B with a full disk below it, or a server that never answers: no job fails or waits for it."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from parley.jobs.v1 import jobs_pb2

from stack.environment.places import ROOT
from tests.integration.training.world import World
from training.tracking.tracker import OPEN_S

pytestmark = pytest.mark.slow

TELL = [sys.executable, "-m", "tests.integration.training.tell_wandb"]
RUN_S = 120
# Between a process with W&B and one without: loading the library, and the machine's moods.
LOADING_S = 6.0
# The folder on one MiB of memory, of which all is taken, in a mount namespace of its own.
FULL = """
mount -t tmpfs -o size=1m none "$0" || exit 99
head -c 2M /dev/zero > "$0/taken" 2>/dev/null
exec "$@"
"""


@pytest.fixture
def hole() -> Iterator[str]:
    """The address of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def told(folder: Path, mode: str, url: str) -> tuple[str, float]:
    """What a process says of its run in W&B, and how long it took until it had ended."""
    began_s = time.monotonic()
    done = subprocess.run(
        [*TELL, folder, mode, url], capture_output=True, text=True, timeout=RUN_S, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), time.monotonic() - began_s


def trained(world: World, job_id: str) -> jobs_pb2.JobResult:
    """What a small job comes to."""
    data = world.folder / "facts.jsonl"
    rows = [{"prompt": f"What is {n}?", "completion": f"It is {n}."} for n in range(6)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    conf = {"model": "small", "dataset": str(data), "epochs": 2}
    status, output = world.run("finetune", conf, job_id)
    assert status == 0, output
    return world.jobs.result


@pytest.mark.alone
def test_a_server_that_never_answers_costs_a_task_no_more_than_asking(
    tmp_path: Path, hole: str
) -> None:
    """Neither the calls nor the end of the process wait for it, where W&B's own hook would."""
    _, without_s = told(tmp_path, "disabled", hole)
    run, with_s = told(tmp_path, "online", hole)
    assert run == "run ''"
    assert with_s < without_s + OPEN_S + LOADING_S


def test_a_job_succeeds_without_its_server(world: World, hole: str) -> None:
    """It has no run there, and says no other word of it."""
    key = world.folder / "key"
    key.touch(0o600)
    key.write_text("k" * 40)
    world.more |= {"WANDB_MODE": "online", "WANDB_BASE_URL": hole, "WANDB_KEY_FILE": str(key)}
    result = trained(world, "job-30")
    assert (result.version, result.wandb_run) == (1, "")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk that is full")
def test_a_job_succeeds_on_a_full_disk(world: World) -> None:
    """Its model is whole; what W&B could not write is missing there alone."""
    folder = world.folder / "wandb"
    folder.mkdir()
    world.before = ["unshare", "--mount", "sh", "-c", FULL, str(folder)]
    result = trained(world, "job-31")
    assert result.version == 1
    assert list(folder.iterdir()) == []
