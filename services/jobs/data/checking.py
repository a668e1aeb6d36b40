"""Whether a dataset that is to be stored is good, and how many rows it has."""

from collections.abc import Sequence
from pathlib import Path

import structlog

from services.jobs.reading import UnreadError, read
from services.rpc.errors import DeadlineExceeded, Internal, InvalidArgument

log = structlog.get_logger()

CHECK_S_MAX = 60.0


class Checker:
    """Has datasets read by `command`, training's program by default; `within_s` bounds one."""

    def __init__(self, command: Sequence[str] = (), within_s: float = CHECK_S_MAX) -> None:
        self._command = command
        self._within_s = within_s

    async def count_rows(self, path: Path) -> int:
        """Counts the rows of a dataset, after each was found good.

        Raises InvalidArgument with the line and what is wrong with it.
        """
        try:
            found = await read(path, self._within_s, self._command)
        except TimeoutError:
            raise DeadlineExceeded(
                f"The dataset could not be checked within {self._within_s:g} s. Send a smaller "
                "one, or ask again when the machine has less to do.",
                reason="DATASET_CHECK_TOO_SLOW",
            ) from None
        except UnreadError as error:
            log.error("the check of datasets does not work", words=str(error))
            raise Internal(
                "The dataset could not be checked. See the log.", reason="DATASET_CHECK_FAILED"
            ) from error
        if not found.reason:
            return found.rows
        raise InvalidArgument(
            f"The dataset is refused: {found.message}",
            reason=found.reason,
            metadata={"line": found.line} if found.line else None,
        )
