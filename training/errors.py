"""How work on a model can end other than well, and whose turn it is then.

    JobFailure   no repeat can mend it: bad data, a loss that is not finite
      DataError  the data; the words name the line
    Unavailable  a store or service did not answer: a repeat may find it
    Stopped      the process was told to end; a repeat goes on from the last checkpoint

Every other exception is taken for one that a repeat may mend. Knows nothing of what raises them.
"""


class JobFailure(Exception):
    """The job cannot succeed however often it is tried; `reason` is UPPER_SNAKE, for programs."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class DataError(JobFailure):
    """The data are not as they must be; the message names the line, and what to do."""


class Unavailable(Exception):
    """Something that the work needs does not answer just now."""


class Stopped(Exception):
    """The process was told to end before the work was done."""
