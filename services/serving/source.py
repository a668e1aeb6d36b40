"""Where a replica learns what to serve, and gets the files of it."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Protocol

from services.serving.model import read_model
from services.serving.wanted import WEIGHT_ALL, Key, Route, State, Table, Version


class Source(Protocol):
    """Says what to serve, from the last that is known on; and fetches it."""

    async def follow(self, on_state: Callable[[State], None]) -> None:
        """Calls `on_state` on the event loop with each new state; runs until it is cancelled."""

    async def fetch(self, version: Version, used: Collection[Version]) -> Path:
        """The verified model folder of a version; the files of those that are `used` stay too.

        Safe to cancel: what has come is used the next time. Raises SourceError.
        """

    async def close(self) -> None:
        """Lets go of what it holds."""


class SourceError(Exception):
    """A version's files cannot be had; the words are for people."""


class FolderSource:
    """One model folder, whose version is called by its digest. Nothing ever changes."""

    def __init__(self, folder: Path, name: str) -> None:
        """Reads the folder; raises FileNotFoundError or ValueError that names what is wrong."""
        self.model = read_model(folder, name)
        self.version = Version(Key(self.model.name, self.model.version, self.model.digest))

    async def follow(self, on_state: Callable[[State], None]) -> None:
        """Says once what there is."""
        route = Route(self.version.key.version, WEIGHT_ALL)
        on_state(State(0, (Table(self.model.name, (self.version,), (route,)),)))

    async def fetch(self, version: Version, used: Collection[Version]) -> Path:
        """The folder."""
        return self.model.folder

    async def close(self) -> None:
        """Nothing is held."""
