"""How an import says no: a reason for machines, the file, and what to do about it.

Knows no file itself.
"""

import errno

from services.rpc.errors import InvalidArgument, ParleyError, ResourceExhausted

_SHOWN_MAX = 200
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def refused(reason: str, file: str, words: str) -> InvalidArgument:
    """Makes the refusal of one file; `words` go on after the file's name."""
    return InvalidArgument(f"{shown(file)} {words}", reason=reason, metadata={"file": shown(file)})


def shown(name: str) -> str:
    """A name from outside, fit to be shown: printable ASCII, and not too long."""
    return ascii(name)[1:-1][:_SHOWN_MAX]


def from_os_error(error: OSError) -> ParleyError | None:
    """Makes a failure of a disk that is full; None when it was another one."""
    return disk_full() if error.errno in _FULL else None


def disk_full() -> ResourceExhausted:
    """Makes the failure of a disk that is full."""
    return ResourceExhausted(
        "The disk of the registry's work folder is full. An import needs about three times the "
        "size of the model's weights for a while: make room, then import again.",
        reason="DISK_FULL",
    )
