"""Checks a whole dataset, once, from a stream. Knows nothing of where it comes from."""

from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

from training.data.lines import Lines
from training.data.rows import Kind, read_rows
from training.errors import DataError


@dataclass(frozen=True)
class Checked:
    """A dataset that was found good."""

    kind: Kind
    rows: int
    size_bytes: int
    digest: str
    """SHA-256 of its bytes, as sha256sum gives it."""

    def as_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def check(stream: BinaryIO, for_training: bool = True) -> Checked:
    """Reads all of it, and holds every row to the rules.

    Raises DataError. Training needs two rows at least: one to learn, one to be asked.
    """
    lines = Lines(stream)
    kind, rows = read_rows(lines, for_training)
    count = sum(1 for _ in rows)
    if for_training and count < 2:
        what = "one passage; put empty lines between passages" if kind == "text" else "one row"
        raise DataError(
            "DATASET_TOO_SMALL",
            f"the data have only {what}: at least two are needed, one to learn and one to measure.",
        )
    return Checked(kind, count, lines.size_bytes, lines.digest)
