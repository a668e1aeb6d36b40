"""The engine's process dies, sticks, or loses its parent."""

import asyncio
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from services.rpc.errors import Unavailable
from services.serving.engine import Listener
from services.serving.engine_process import DEATHS_TO_FAIL, EngineProcess
from services.serving.settings import Settings

from .conftest import Bench


async def _running(bench: Bench) -> asyncio.Task:
    """A long answer that the engine is at work on."""
    task = asyncio.create_task(bench.ask(tokens_max=1500))
    async with asyncio.timeout(10):
        while not bench.replica.engine.load.running:  # noqa: ASYNC110 (another process's count)
            await asyncio.sleep(0.001)
    return task


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stuck"])
async def test_a_lost_engine_is_replaced(bench: Bench, number: signal.Signals):
    """What was in the engine fails with ENGINE_DIED; what comes meanwhile waits and is answered."""
    inside = await _running(bench)
    old = bench.replica.engine.pid
    os.kill(old, number)
    with pytest.raises(Unavailable) as lost:
        async with asyncio.timeout(60):
            await inside
    assert lost.value.reason == "ENGINE_DIED"
    answers = await asyncio.wait_for(bench.ask(tokens_max=4), 60)
    assert answers.finished[0].completion_tokens == 4
    assert bench.replica.engine.pid != old
    assert not psutil.pid_exists(old)


async def test_leaving_frees_the_engine(bench: Bench):
    """A request whose reader leaves is out of the engine by its own count."""
    task = await _running(bench)
    task.cancel()
    async with asyncio.timeout(5):
        while bench.replica.engine.load.running:  # noqa: ASYNC110 (another process's count)
            await asyncio.sleep(0.001)
    assert bench.replica.admission.running == 0


async def test_an_engine_that_keeps_dying_is_given_up_on(tmp_path):
    """After some deaths in a row the engine counts as failed, and no more is promised."""
    engine = EngineProcess(
        {}, stall_s_min=1, load_timeout_s=10, worker=(sys.executable, "-c", "raise SystemExit(3)")
    )
    deaths = asyncio.Queue()
    engine.start(Listener(print, print, deaths.put_nowait, print))
    async with asyncio.timeout(60):
        for _ in range(DEATHS_TO_FAIL):
            death = await deaths.get()
    assert death.final
    assert engine.failed
    await engine.close()


def test_the_engine_does_not_outlive_its_replica(settings: Settings, tmp_path):
    """When the replica is killed, its engine ends by itself."""
    environment = {
        **os.environ,
        "PARLEY_SERVING_ADDRESS": f"unix:{tmp_path}/s.sock",
        "PARLEY_SERVING_MODEL_DIR": str(settings.model_dir),
    }
    replica = subprocess.Popen(
        [sys.executable, "-m", "services.serving"], env=environment, stdout=subprocess.DEVNULL
    )
    engine = _only_child(psutil.Process(replica.pid))
    replica.kill()
    replica.wait()
    engine.wait(timeout=30)


def _only_child(process: psutil.Process) -> psutil.Process:
    deadline = time.monotonic() + 30
    while not (children := process.children()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return children[0]
