"""Which failures are tried again: all but those that no repeat can mend.

Knows the task's exit status only, as sysexits.h names it.
"""

from typing import Any

from airflow.sdk import RetryDecision, RetryPolicy

# EX_DATAERR: what the task was given is wrong, and will be wrong next time.
EXIT_HOPELESS = 65


class RetryUnlessHopeless(RetryPolicy):
    """Fails a task at once when its process says that no repeat can mend what happened."""

    def evaluate(self, exception: BaseException, *_: Any, **__: Any) -> RetryDecision:
        """Decides by the exit status of the task's process."""
        if getattr(exception, "returncode", None) == EXIT_HOPELESS:
            return RetryDecision.fail("no repeat can mend this")
        return RetryDecision.default()
