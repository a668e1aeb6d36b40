"""An object store in memory."""

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path

from services.rpc.errors import Internal, NotFound, Unavailable


class Bucket:
    """Keys and their bytes; it is away as often as `outages` says."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}
        self.written: list[str] = []
        self.outages = 0

    def fill(self, prefix: str, folder: Path) -> None:
        """Puts a folder's files below a prefix."""
        for path in folder.iterdir():
            self.held[prefix + path.name] = path.read_bytes()

    async def list(self, prefix: str) -> Sequence[tuple[str, int]]:
        """See Objects."""
        return [(key, len(data)) for key, data in self.held.items() if key.startswith(prefix)]

    async def get_file(self, key: str, path: Path, sha256: str | None = None) -> None:
        """See Objects."""
        if key not in self.held:
            raise NotFound(f"no {key}", reason="OBJECT_NOT_FOUND")
        if sha256 not in {None, hashlib.sha256(self.held[key]).hexdigest()}:
            raise Internal(f"other bytes in {key}", reason="OBJECT_CORRUPT")
        await asyncio.to_thread(path.write_bytes, self.held[key])

    async def put_file(self, key: str, path: Path, sha256: str) -> None:
        """See Objects."""
        if self.outages:
            self.outages -= 1
            raise Unavailable("the object store is away", reason="OBJECT_STORE_UNAVAILABLE")
        data = await asyncio.to_thread(path.read_bytes)
        assert hashlib.sha256(data).hexdigest() == sha256
        if self.held.get(key) != data:
            self.written.append(key)
        self.held[key] = data
