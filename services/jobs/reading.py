"""Has data read line by line by training's own program, in a process with bounds of its own.

Training is not imported: services know nothing of it, and no file can hurt this process. Knows
nothing of who asks, nor of what a refusal is to the caller.
"""

import asyncio
import json
import re
import resource
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

COMMAND = (sys.executable, "-m", "training.check_data")
MEMORY_BYTES_MAX = 2 << 30
WORDS_MAX = 2000
ROOT = Path(__file__).resolve().parents[2]
_LINE = re.compile(r"\bline (\d+)\b", re.ASCII)


class UnreadError(Exception):
    """The program said nothing of use: it was out of memory, or is broken."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of it: `rows` that are good, or why the data are refused."""

    rows: int = 0
    reason: str = ""
    message: str = ""

    @property
    def line(self) -> str:
        """The line that the refusal names; empty for none."""
        found = _LINE.search(self.message)
        return found[1] if found else ""


async def read(path: Path, within_s: float, command: Sequence[str] = ()) -> Reading:
    """Reads a file. `command` is the program with its options, training's by default.

    Raises TimeoutError, or UnreadError. No process is left when it is cancelled.
    """
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(command or COMMAND), str(path), stdin=asyncio.subprocess.DEVNULL, stdout=pipe,
        stderr=pipe, cwd=ROOT,
    )  # fmt: skip
    try:
        with suppress(ProcessLookupError):
            bound = MEMORY_BYTES_MAX, MEMORY_BYTES_MAX
            resource.prlimit(process.pid, resource.RLIMIT_AS, bound)
        async with asyncio.timeout(within_s):
            out, err = await process.communicate()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    if found := _understand(out):
        return found
    last = err[-WORDS_MAX:].decode(errors="replace")
    raise UnreadError(f"it ended with {process.returncode}: {last}")


def _understand(out: bytes) -> Reading | None:
    try:
        told = json.loads(out)
    except ValueError:
        return None
    if not isinstance(told, dict):
        return None
    if isinstance(rows := told.get("rows"), int):
        return Reading(rows)
    reason, message = told.get("reason"), told.get("message")
    if reason and isinstance(reason, str) and isinstance(message, str):
        return Reading(reason=reason, message=message[:WORDS_MAX])
    return None
