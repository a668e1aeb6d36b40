"""What can be asked of one bucket. Knows no server and no client."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

PRESIGNED_S = 3600


class StoredObject(NamedTuple):
    """What the bucket says of one object."""

    key: str
    size_bytes: int


class ObjectStore(Protocol):
    """One bucket. Every method raises Unavailable when the server does not answer in time."""

    async def check(self) -> None:
        """Raises Unavailable when the server is away, Internal when it has no such bucket."""

    async def put_file(self, key: str, path: Path, sha256: str) -> None:
        """Stores a file, unless the same bytes are there already."""

    async def get_file(self, key: str, path: Path, sha256: str | None = None) -> None:
        """Fetches an object into a file that appears only whole, and with the digest if named."""

    async def get_bytes(self, key: str, sha256: str | None = None) -> bytes:
        """Fetches a small object, and checks it when its digest is known."""

    async def stat(self, key: str) -> StoredObject:
        """Looks at an object."""

    async def list(self, prefix: str) -> Sequence[StoredObject]:
        """Lists all objects whose keys begin with `prefix`."""

    async def list_folders(self, prefix: str) -> Sequence[str]:
        """Lists the names right below `prefix`, which ends in a slash."""

    async def presign(self, key: str, expires_s: int = PRESIGNED_S) -> str:
        """Makes the address at which whoever has it can fetch the object for a while."""

    async def remove(self, key: str) -> None:
        """Removes an object; one that is not there is fine."""

    async def remove_folder(self, prefix: str) -> None:
        """Removes every object below `prefix`, which ends in a slash."""
