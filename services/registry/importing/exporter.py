"""Has a model folder exported and tried by a process of its own, within a time.

The libraries that export are large, and may crash over what a folder holds; the registry outlives
that. The process ends with this one, however this one dies, and gets none of its environment.
Knows the process's words (see `training.export`) and nothing of models.
"""

import asyncio
import json
import os
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process, create_subprocess_exec
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from services.registry.importing.manifest import Tell
from services.registry.importing.names import ENGINE_FOLDER
from services.registry.importing.refusals import disk_full, from_os_error
from services.rpc.errors import DeadlineExceeded, InvalidArgument, ParleyError

log = structlog.get_logger()

COMMAND = (sys.executable, "-m", "training.export")
ROOT = Path(__file__).resolve().parents[3]
_LOG_BYTES = 4000
_WORDS_MAX = 600
# The exported weights have four bytes each where the source's may have two.
_ROOM_TIMES = 2


class Exporter:
    """Runs exports, one per call."""

    def __init__(self, timeout_s: float, command: Sequence[str] = COMMAND) -> None:
        self._timeout_s = timeout_s
        self._command = command

    async def export(self, folder: Path, tell: Tell) -> Path:
        """Makes openvino/ in the folder, and returns it.

        Raises InvalidArgument when the folder cannot be exported or the engine cannot run it,
        DeadlineExceeded, and ResourceExhausted when the disk is full.
        """
        _require_room(folder)
        shutil.rmtree(folder / ENGINE_FOLDER, ignore_errors=True)
        process = await create_subprocess_exec(
            *self._command,
            *("--parent", str(os.getpid()), str(folder)),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            cwd=ROOT,
            env=_environment(folder.parent),
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                last, errors = await asyncio.gather(_follow(process, tell), _tail(process.stderr))
                code = await process.wait()
        except TimeoutError:
            raise DeadlineExceeded(
                f"The export took longer than {self._timeout_s:.0f} s. Import a smaller model, or "
                "raise the registry's export_timeout_s.",
                reason="EXPORT_TIMEOUT",
            ) from None
        finally:
            await _end(process)
        if code:
            log.warning("export failed", code=code, errors=errors)
            raise _failure(code, last)
        return folder / ENGINE_FOLDER


async def _follow(process: Process, tell: Tell) -> dict[str, Any]:
    """Passes the process's progress on, and returns the last thing it said."""
    last: dict[str, Any] = {}
    while line := await process.stdout.readline():
        with suppress(ValueError):
            said = json.loads(line)
            last = said if isinstance(said, dict) else last
        if isinstance(last.get("fraction"), float):
            tell(last["fraction"])
    return last


async def _tail(stream: asyncio.StreamReader) -> str:
    """The end of what the process wrote for its log."""
    kept = b""
    while chunk := await stream.read(_LOG_BYTES):
        kept = (kept + chunk)[-_LOG_BYTES:]
    return kept.decode(errors="replace")


async def _end(process: Process) -> None:
    """Ends the process and all that it started, if it is still there."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _failure(code: int, last: dict[str, Any]) -> ParleyError:
    reason, words = last.get("reason"), str(last.get("message", ""))[:_WORDS_MAX]
    if isinstance(last.get("errno"), int):
        full = from_os_error(OSError(last["errno"], words))
        if full:
            return full
    if isinstance(reason, str):
        return InvalidArgument(words, reason=reason)
    how = f"signal {-code}" if code < 0 else f"code {code}"
    return InvalidArgument(
        f"The export died with {how}: the model is damaged, or needs more memory than there is. "
        "Check the folder, or import it where more memory is free.",
        reason="EXPORT_DIED",
    )


def _require_room(folder: Path) -> None:
    size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    if shutil.disk_usage(folder).free < _ROOM_TIMES * size:
        raise disk_full()


def _environment(work: Path) -> dict[str, str]:
    """Offline, and with every cache in the import's own folder."""
    return {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(work),
        "TMPDIR": str(work),
        "HF_HOME": str(work / "cache"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
