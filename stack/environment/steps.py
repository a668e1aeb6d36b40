"""Runs the set-up's programs: one plain line per step, all noise to a log, one reason on failure.

Standard library only. Knows nothing of what the programs do.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from stack.errors import Exit, StackError

EVIDENCE_LINES = 6

# The first row whose pattern is in the program's last words names the reason and the mend.
REASONS = (
    (
        r"no space left|ENOSPC|disk quota exceeded",
        "the disk is full",
        "Make room (the Python environment takes about 6 GB), then run this again.",
    ),
    (
        r"hash(es)? (do|did) not match|hash mismatch|EINTEGRITY|DO NOT MATCH THE HASHES",
        "a package is not the one that the lock names",
        "Its digest differs, so it was not installed. Check the package index in use.",
    ),
    (
        r"dns error|could not resolve|name resolution|getaddrinfo|ENOTFOUND|EAI_AGAIN|"
        r"network is unreachable|connection refused|connection reset|ECONNREFUSED|ECONNRESET|"
        r"timed out|ETIMEDOUT|error sending request|max retries exceeded|tcp connect error",
        "the package index could not be reached",
        "Check the network or the proxy, then run this again; it goes on where it stopped.",
    ),
    (
        r"permission denied|EACCES|read-only file system|EROFS",
        "a file or folder may not be written",
        "Make the checkout writable for this user, or set PARLEY_VENV to a folder that is.",
    ),
)
UNKNOWN = ("it ended with an error", "Read the log; run this again once that is mended.")


class Steps:
    """Tells of each step on stderr and keeps what its programs say in `log`."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._title = ""
        self._began = 0.0

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """One line: the title at once, the seconds when it is done."""
        self._title, self._began = title, time.monotonic()
        self._say(f"  {title} ...")
        try:
            yield
        except BaseException:
            self._say("\n")
            raise
        self._say(f"{self._line_start()}{time.monotonic() - self._began:.1f} s\n")

    def run(
        self,
        command: Sequence[str | Path],
        *,
        timeout_s: float,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Runs one program to its end, its words into the log.

        Raises StackError with a one-line reason when it fails or outlasts `timeout_s`; the program
        is ended first.
        """
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            log.write(f"\n$ {' '.join(map(str, command))}\n".encode())
            log.flush()
            start = log.tell()
            process = subprocess.Popen(
                [str(part) for part in command],
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
            try:
                code = self._wait(process, timeout_s)
            except BaseException:
                process.kill()
                process.wait()
                raise
        if code != 0:
            raise self._failure(start)

    def _wait(self, process: subprocess.Popen[bytes], timeout_s: float) -> int:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                return process.wait(1)
            except subprocess.TimeoutExpired:
                self._tick()
            if time.monotonic() > deadline:
                raise StackError(
                    f"{self._title}: not done after {timeout_s:.0f} s",
                    mend=f"Read {self._log}, then run this again.",
                    code=Exit.SETUP,
                )

    def _tick(self) -> None:
        if sys.stderr.isatty():
            self._say(f"{self._line_start()}{time.monotonic() - self._began:.0f} s")

    def _line_start(self) -> str:
        return f"\r  {self._title} ... " if sys.stderr.isatty() else " "

    def _failure(self, start: int) -> StackError:
        with self._log.open("rb") as log:
            log.seek(start)
            said = log.read().decode(errors="replace")
        reason, mend = explain(said)
        lines = [line.rstrip() for line in said.splitlines() if line.strip()]
        return StackError(
            f"{self._title}: {reason}.",
            mend=f"{mend}\nFull log: {self._log}",
            code=Exit.SETUP,
            evidence=lines[-EVIDENCE_LINES:],
        )

    @staticmethod
    def _say(text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


def explain(said: str) -> tuple[str, str]:
    """The reason and the mend behind a failed program's words."""
    for pattern, reason, mend in REASONS:
        if re.search(pattern, said, re.IGNORECASE):
            return reason, mend
    return UNKNOWN
