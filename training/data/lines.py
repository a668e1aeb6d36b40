"""Lines of a stream of bytes, each with a bound on its length, and the digest of them all.

A line that is too long is found without being read into memory. Knows nothing of what lines hold.
"""

import hashlib
from collections.abc import Iterator
from typing import BinaryIO

from training.errors import DataError

LINE_BYTES_MAX = 1 << 20
BYTES_MAX = 256 << 20


class Lines:
    """The lines of a stream, numbered from 1; `digest` and `size_bytes` are of what was read."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes read so far."""
        return self._hash.hexdigest()

    def __iter__(self) -> Iterator[tuple[int, str]]:
        number = 0
        while line := self._stream.readline(LINE_BYTES_MAX + 1):
            number += 1
            self._hash.update(line)
            self.size_bytes += len(line)
            self._hold_to_bounds(number, line)
            yield number, _decoded(number, line)

    def _hold_to_bounds(self, number: int, line: bytes) -> None:
        if len(line) > LINE_BYTES_MAX:
            raise DataError(
                "DATASET_LINE_TOO_LONG",
                f"line {number} is longer than {LINE_BYTES_MAX >> 20} MiB: write one row on each "
                "line, and cut long texts into several rows.",
            )
        if self.size_bytes > BYTES_MAX:
            raise DataError(
                "DATASET_TOO_LARGE",
                f"the data are larger than {BYTES_MAX >> 20} MiB (at line {number}): "
                "use fewer rows, or several jobs.",
            )


def _decoded(number: int, line: bytes) -> str:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            "DATASET_NOT_UTF8",
            f"line {number} is not UTF-8 (at its byte {error.start + 1}): save the file as UTF-8.",
        ) from None
    return text.removeprefix("\ufeff") if number == 1 else text
