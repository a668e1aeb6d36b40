"""Has a dataset checked line by line, by a program of training's in a process of its own.

Training is not imported: services know nothing of it, and its program may take long or die.
"""

import asyncio
import json
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from services.rpc.errors import DeadlineExceeded, Internal, InvalidArgument

log = structlog.get_logger()

COMMAND = (sys.executable, "-m", "training.check_data")
ROOT = Path(__file__).parents[3]
CHECK_S_MAX = 60.0
WORDS_MAX = 2000
_LINE = re.compile(r"\bline (\d+)\b", re.ASCII)


class Checker:
    """Runs the program. `within_s` bounds one check."""

    def __init__(self, command: Sequence[str] = COMMAND, within_s: float = CHECK_S_MAX) -> None:
        self._command = command
        self._within_s = within_s

    async def count_rows(self, path: Path) -> int:
        """Counts the rows of a dataset, after each was found good.

        Raises InvalidArgument with the line and what is wrong with it.
        """
        told = await self._ask(path)
        if isinstance(rows := told.get("rows"), int):
            return rows
        reason, message = told.get("reason"), told.get("message")
        if not isinstance(reason, str) or not isinstance(message, str):
            raise _broken(f"it said {str(told)[:WORDS_MAX]}")
        line = _LINE.search(message)
        raise InvalidArgument(
            f"The dataset is refused: {message[:WORDS_MAX]}",
            reason=reason,
            metadata={"line": line[1]} if line else None,
        )

    async def _ask(self, path: Path) -> dict[str, object]:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *self._command, str(path), stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe,
            cwd=ROOT,
        )  # fmt: skip
        try:
            async with asyncio.timeout(self._within_s):
                out, err = await process.communicate()
        except TimeoutError:
            raise DeadlineExceeded(
                f"The dataset could not be checked within {self._within_s:g} s. Send a smaller "
                "one, or ask again when the machine has less to do.",
                reason="DATASET_CHECK_TOO_SLOW",
            ) from None
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        with suppress(ValueError):
            if isinstance(told := json.loads(out), dict):
                return told
        last = err[-WORDS_MAX:].decode(errors="replace")
        raise _broken(f"it ended with {process.returncode}: {last}")


def _broken(words: str) -> Internal:
    log.error("the check of datasets does not work", words=words)
    return Internal("The dataset could not be checked. See the log.", reason="DATASET_CHECK_FAILED")
