"""What an answer's id says of where it came from. Pure.

The facade makes ids of the form `chatcmpl-DIGEST-NUMBER-REVISION-RANDOM` (or `cmpl-...`): the first
12 digits of the version's digest, its number, and the registry's revision at that time. So nothing
has to be written down on the way of a chat.
"""

import re
from dataclasses import dataclass

_RESPONSE_ID = re.compile(
    r"(?:chatcmpl|cmpl)-(?P<digits>[0-9a-f]{12})-(?P<number>[1-9][0-9]{0,8})"
    r"-(?P<revision>[1-9][0-9]{0,17})-[0-9a-zA-Z]+",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Origin:
    """Which version answered, and at which revision."""

    digits: str
    number: int
    revision: int


def read_origin(response_id: str) -> Origin | None:
    """Reads an answer's id; None when it is none, or names no registered version."""
    found = _RESPONSE_ID.fullmatch(response_id)
    if found is None:
        return None
    return Origin(found["digits"], int(found["number"]), int(found["revision"]))
