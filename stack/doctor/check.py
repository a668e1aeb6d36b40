"""What one check found."""

import dataclasses
from dataclasses import dataclass

OK, WARN, FAIL = "ok", "warn", "fail"


@dataclass(frozen=True)
class Finding:
    """One check's verdict in one line, and what to do about it (empty when it is ok)."""

    name: str
    verdict: str
    words: str
    mend: str = ""

    def to_json(self) -> dict[str, str]:
        """The finding as JSON values."""
        return dataclasses.asdict(self)
