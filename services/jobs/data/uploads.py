"""Takes a dataset that comes piece by piece, checks it, and stores it whole."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

from services.jobs.data.checking import Checker
from services.jobs.data.datasets import Dataset, Datasets
from services.jobs.data.workplace import Workplace
from services.rpc.errors import DeadlineExceeded, InvalidArgument, ResourceExhausted

STALL_S = 30.0
RECEIVE_S_MAX = 900.0


class Uploads:
    """Takes uploads of at most `bytes_max`; one may pause for `stall_s` between two pieces."""

    def __init__(
        self,
        datasets: Datasets,
        workplace: Workplace,
        checker: Checker,
        bytes_max: int,
        stall_s: float = STALL_S,
    ) -> None:
        self._datasets = datasets
        self._workplace = workplace
        self._checker = checker
        self._bytes_max = bytes_max
        self._stall_s = stall_s

    async def take(self, name: str, pieces: AsyncIterator[bytes]) -> Dataset:
        """Takes one dataset; nothing is stored unless all of it came and is good.

        Raises InvalidArgument, ResourceExhausted when it is too large, and Unavailable.
        """
        await self._datasets.check()
        with self._workplace.file() as file:
            try:
                async with asyncio.timeout(RECEIVE_S_MAX):
                    digest, size_bytes = await self._receive(file, pieces)
            except TimeoutError:
                raise DeadlineExceeded(
                    f"The dataset did not come within {RECEIVE_S_MAX:g} s, or nothing of it for "
                    f"{self._stall_s:g} s. Send it again.",
                    reason="UPLOAD_TOO_SLOW",
                ) from None
            path = Path(file.name)
            rows = await self._checker.count_rows(path)
            return await self._datasets.store(path, digest, name, rows=rows, size_bytes=size_bytes)

    async def _receive(self, file: IO[bytes], pieces: AsyncIterator[bytes]) -> tuple[str, int]:
        found, size_bytes = hashlib.sha256(), 0
        while (piece := await self._next(pieces)) is not None:
            size_bytes += len(piece)
            if size_bytes > self._bytes_max:
                raise ResourceExhausted(
                    f"The dataset is larger than {self._bytes_max} bytes. Use fewer rows.",
                    reason="DATASET_TOO_LARGE",
                    metadata={"bytes_max": str(self._bytes_max)},
                )
            found.update(piece)
            await asyncio.to_thread(file.write, piece)
        await asyncio.to_thread(file.flush)
        if not size_bytes:
            raise InvalidArgument("The dataset has no bytes.", reason="DATASET_EMPTY")
        return found.hexdigest(), size_bytes

    async def _next(self, pieces: AsyncIterator[bytes]) -> bytes | None:
        async with asyncio.timeout(self._stall_s):
            return await anext(pieces, None)
