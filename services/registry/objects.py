"""What the registry needs of an object store."""

from typing import Protocol

# Where the source files of a version lie, below its digest, and the engine's form below its own.
MODELS = "models/"
ENGINES = "engines/"


class Objects(Protocol):
    """One bucket. Raises Unavailable when it does not answer in time."""

    async def check(self) -> None:
        """Raises Unavailable when the server is away, Internal when it has no such bucket."""

    async def presign(self, key: str) -> str:
        """Makes the address at which an object can be fetched for an hour."""

    async def list_folders(self, prefix: str) -> list[str]:
        """Lists the names right below `prefix`, which ends in a slash."""

    async def remove_folder(self, prefix: str) -> None:
        """Removes every object below `prefix`, which ends in a slash."""
