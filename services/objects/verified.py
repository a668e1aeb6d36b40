"""Bytes on their way to or from a store, checked against what they must be.

Knows neither the store nor the network.
"""

import hashlib
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

READ_BYTES = 1 << 20


class WrongBytes(Exception):
    """The bytes are not those that the digest names."""


class Budget:
    """How long a transfer may go on in its thread: until a deadline, or until it is stopped."""

    def __init__(self, within_s: float) -> None:
        self._end_s = time.monotonic() + within_s
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Ends the transfer at its next piece."""
        self._stopped.set()

    def check(self) -> None:
        """Raises TimeoutError when the transfer must end."""
        if self._stopped.is_set() or time.monotonic() > self._end_s:
            raise TimeoutError("the transfer took too long, or nobody waits for it any more")


class VerifiedReader:
    """Reads a file for an upload; gives its last bytes only when the whole has the digest.

    So a file that changed since it was hashed never becomes a whole object.
    """

    def __init__(self, file: BinaryIO, bytes_total: int, sha256: str, budget: Budget) -> None:
        self._file, self._left, self._sha256, self._budget = file, bytes_total, sha256, budget
        self._hash = hashlib.sha256()
        self._check_end()

    def read(self, size: int = -1) -> bytes:
        """Reads at most `size` bytes; raises WrongBytes in place of the last ones."""
        self._budget.check()
        piece = self._file.read(min(size, self._left) if size >= 0 else self._left)
        self._hash.update(piece)
        self._left -= len(piece)
        if not piece and self._left:
            raise WrongBytes
        self._check_end()
        return piece

    def _check_end(self) -> None:
        if not self._left and self._hash.hexdigest() != self._sha256:
            raise WrongBytes


def pieces_checked(pieces: Iterable[bytes], sha256: str | None, budget: Budget) -> Iterator[bytes]:
    """Passes pieces on and raises WrongBytes at the end of wrong ones, if it is told the digest."""
    found = hashlib.sha256()
    for piece in pieces:
        budget.check()
        found.update(piece)
        yield piece
    if sha256 is not None and found.hexdigest() != sha256:
        raise WrongBytes


def write_checked(path: Path, pieces: Iterable[bytes], sha256: str | None, budget: Budget) -> None:
    """Writes a file that appears only whole, and with the digest if one is named."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            for piece in pieces_checked(pieces, sha256, budget):
                file.write(piece)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
