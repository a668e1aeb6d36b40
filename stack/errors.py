"""What the command line can fail with: one error with words for a person, and the exit codes.

Standard library only, for the set-up uses it before anything is installed.
"""

from collections.abc import Sequence
from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of `./parley`; `./parley --help` lists them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_RUNNING = 3
    SETUP = 4
    REFUSED = 5
    INTERRUPTED = 130  # 128 + SIGINT, as shells have it


class StackError(Exception):
    """What happened, what to do about it, and the lines that show it.

    Args:
        what: one sentence, for a person.
        mend: what to do; empty where there is nothing to be done.
        code: the exit code this ends with.
        evidence: lines of a log, shown beneath.
    """

    def __init__(
        self,
        what: str,
        *,
        mend: str = "",
        code: Exit = Exit.FAILED,
        evidence: Sequence[str] = (),
    ) -> None:
        super().__init__(what)
        self.what = what
        self.mend = mend
        self.code = code
        self.evidence = tuple(evidence)

    def lines(self) -> list[str]:
        """The error as it is shown, without colour."""
        shown = [f"parley: {self.what}"]
        shown += [f"    | {line}" for line in self.evidence]
        shown += [f"  {line}" for line in self.mend.splitlines()]
        return shown
