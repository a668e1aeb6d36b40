"""A folder for files on their way to the bucket, and a bound on how many are made at a time."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from services.rpc.errors import ResourceExhausted

RETRY_AFTER_S = 5.0


class Workplace:
    """One folder, which is this process's alone."""

    def __init__(self, folder: Path, files_max: int) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in folder.glob("*.part"):
            left.unlink()
        self._folder = folder
        self._free = files_max

    @contextmanager
    def file(self) -> Iterator[IO[bytes]]:
        """Lends an empty file, open for writing, whose `name` is its path; it is gone afterwards.

        Raises ResourceExhausted when too many are lent.
        """
        if not self._free:
            raise ResourceExhausted(
                "Too many datasets are being made or uploaded. Ask again in a few seconds.",
                reason="TOO_MANY_DATASETS",
                retry_after_s=RETRY_AFTER_S,
            )
        self._free -= 1
        try:
            with tempfile.NamedTemporaryFile(suffix=".part", dir=self._folder) as file:
                yield cast(IO[bytes], file)
        finally:
            self._free += 1
