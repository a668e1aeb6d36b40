"""Where datasets lie: in the bucket, by their digest. Knows nothing of what they hold."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from services.rpc.errors import NotFound

PREFIX = "datasets/sha256/"


class Objects(Protocol):
    """What is needed of a bucket. Raises Unavailable when it does not answer in time."""

    async def put_file(self, key: str, path: Path, sha256: str) -> None:
        """Stores a file, unless the same bytes are there already; all of it or nothing."""

    async def stat(self, key: str) -> object:
        """Looks at an object; raises NotFound where there is none."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """A stored dataset. `digest` is the SHA-256 of its bytes."""

    digest: str
    name: str
    rows: int
    size_bytes: int
    uri: str


class Datasets:
    """Stores datasets in one bucket."""

    def __init__(self, objects: Objects, bucket: str) -> None:
        self._objects = objects
        self._bucket = bucket

    async def check(self) -> None:
        """Raises Unavailable when the bucket does not answer: before any work is done in vain."""
        try:
            await self._objects.stat(f"{PREFIX}none")
        except NotFound:
            return

    async def store(
        self, path: Path, digest: str, name: str, *, rows: int, size_bytes: int
    ) -> Dataset:
        """Stores a file under its digest. Raises Unavailable; safe to repeat."""
        key = f"{PREFIX}{digest}"
        await self._objects.put_file(key, path, digest)
        return Dataset(digest, name, rows, size_bytes, f"s3://{self._bucket}/{key}")
