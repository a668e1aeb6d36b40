"""Claims about the process that exports, with small programs in its place."""

import asyncio
import json
import os
import select
import signal
import sys
from pathlib import Path

import psutil
import pytest

from services.registry.importing.exporter import COMMAND, ROOT, Exporter
from services.rpc.errors import DeadlineExceeded, InvalidArgument, ParleyError, ResourceExhausted

WAIT_S = 30
# Tells its own id and then waits; what it is told to do comes before.
SLEEPER = "import os, time; print(os.getpid(), file=open('pid', 'w'), flush=True); time.sleep(600)"


def program(words: str) -> tuple[str, ...]:
    """A program that gets the folder as its last argument."""
    return (sys.executable, "-c", f"import sys, os\nos.chdir(sys.argv[-1])\n{words}")


async def export(folder: Path, words: str, timeout_s: float = WAIT_S) -> list[float]:
    """Exports with a program of these words; returns what it told."""
    told: list[float] = []
    await Exporter(timeout_s, program(words)).export(folder, told.append)
    return told


async def test_progress_is_passed_on(tmp_path: Path):
    """As the process says it; other lines are passed over."""
    told = await export(tmp_path, """print('{"fraction": 0.5}\\nnoise\\n{"fraction": 0.75}')""")
    assert told[:1] == [0.5]
    assert told[-1] == 0.75


async def test_a_refusal_keeps_its_reason_and_words(tmp_path: Path):
    """What the process found wrong with the folder reaches the caller."""
    line = json.dumps({"reason": "ENGINE_REFUSED", "message": "The engine cannot run it."})
    with pytest.raises(InvalidArgument, match="cannot run it") as refusal:
        await export(tmp_path, f"print({line!r}); sys.exit(1)")
    assert refusal.value.reason == "ENGINE_REFUSED"


async def test_a_full_disk_in_the_process_is_told_as_one(tmp_path: Path):
    """It is not the folder's fault."""
    line = json.dumps({"reason": "EXPORT_FAILED", "errno": 28, "message": "No space"})
    with pytest.raises(ResourceExhausted) as failure:
        await export(tmp_path, f"print({line!r}); sys.exit(1)")
    assert failure.value.reason == "DISK_FULL"


@pytest.mark.parametrize("words", ["os.kill(os.getpid(), 11)", "sys.exit(3)"])
async def test_a_crash_is_told_as_one(tmp_path: Path, words: str):
    """A library that dies over a folder takes nothing along."""
    with pytest.raises(ParleyError) as failure:
        await export(tmp_path, words)
    assert failure.value.reason == "EXPORT_DIED"


async def test_an_export_that_takes_too_long_is_ended(tmp_path: Path):
    """And its process with it."""
    before = set(psutil.Process().children())
    with pytest.raises(DeadlineExceeded) as failure:
        await export(tmp_path, SLEEPER, timeout_s=2)
    assert failure.value.reason == "EXPORT_TIMEOUT"
    assert set(psutil.Process().children()) <= before


async def test_a_cancelled_export_is_ended(tmp_path: Path):
    """A registry that stops leaves no process behind."""
    begun = asyncio.Event()
    words = SLEEPER.replace("time.sleep", """print('{"fraction": 0.5}', flush=True); time.sleep""")
    exporting = Exporter(WAIT_S, program(words)).export(tmp_path, lambda _: begun.set())
    task = asyncio.create_task(exporting)
    await asyncio.wait_for(begun.wait(), WAIT_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not _alive(_pid(tmp_path))


async def test_the_process_gets_nothing_of_our_environment(tmp_path: Path, monkeypatch):
    """Whatever a registry is started with stays there."""
    monkeypatch.setenv("PARLEY_REGISTRY_DATABASE_URI", "secret")
    words = "import json; json.dump(dict(os.environ), open('env', 'w'))"
    await export(tmp_path, words)
    seen = json.loads((tmp_path / "env").read_text())
    assert not [name for name in seen if name.startswith("PARLEY")]
    assert seen["HOME"] == str(tmp_path.parent)


async def test_a_half_made_form_is_made_again(tmp_path: Path):
    """What an export that died left under its name is removed first."""
    (tmp_path / "openvino").mkdir()
    (tmp_path / "openvino" / "half").touch()
    await export(tmp_path, "os.mkdir('openvino')")
    assert list((tmp_path / "openvino").iterdir()) == []


async def test_the_real_process_ends_with_its_parent(tmp_path: Path):
    """Also when the registry is killed, and can end nothing itself."""
    os.mkfifo(tmp_path / "config.json")  # reading it hangs for ever
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PARENT, *COMMAND, str(tmp_path)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    child = int(await asyncio.wait_for(parent.stdout.readline(), WAIT_S))
    assert b"fraction" in await asyncio.wait_for(parent.stdout.readline(), WAIT_S)
    handle = os.pidfd_open(child)
    parent.send_signal(signal.SIGKILL)
    await parent.wait()
    ended, _, _ = await asyncio.to_thread(select.select, [handle], [], [], WAIT_S)
    os.close(handle)
    assert ended


PARENT = """
import os, subprocess, sys, time
*command, folder = sys.argv[1:]
child = subprocess.Popen([*command, "--parent", str(os.getpid()), folder])
print(child.pid, flush=True)
time.sleep(600)
"""


def _pid(folder: Path) -> int:
    return int((folder / "pid").read_text())


def _alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
