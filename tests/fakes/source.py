"""A source whose states the test tells, and a loader that gives each version a fake engine."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from services.serving.admission import Limits
from services.serving.loaded import Loaded
from services.serving.model import read_model
from services.serving.prompts import read_prompts
from services.serving.source import SourceError
from services.serving.wanted import Key, Route, State, Table, Version
from tests.fakes.engine import FakeEngine

MODEL = "tiny"


def key(number: int, model: str = MODEL) -> Key:
    """The key of a version."""
    return Key(model, str(number), f"{number:064x}")


def table(
    routes: dict[int, int],
    *,
    mirror: int = 0,
    standby: Collection[int] = (),
    aliases: dict[str, int] | None = None,
    revision: int = 1,
    model: str = MODEL,
) -> Table:
    """A model whose versions are those named; the heaviest one is the champion."""
    champion = max(routes, key=lambda number: routes[number])
    named = {"champion": champion, **(aliases or {})}
    numbers = sorted({*routes, *standby, *named.values(), *([mirror] if mirror else [])})
    versions = tuple(
        Version(
            key(number, model),
            engine_digest=f"{number + 1000:064x}",
            aliases=tuple(sorted(name for name, other in named.items() if other == number)),
            run_id=f"{number:032x}",
            dataset_digest=f"{number + 2000:064x}",
            standby=number in standby,
        )
        for number in numbers
    )
    spread = tuple(Route(str(number), weight) for number, weight in routes.items())
    return Table(model, versions, spread, str(mirror) if mirror else "", revision)


def state(*tables: Table) -> State:
    """A state at the newest of the tables' revisions."""
    return State(max((one.revision for one in tables), default=1), tables)


@dataclass
class FakeSource:
    """Implements `services.serving.source.Source`."""

    folder: Path
    # What fetching each version says instead of giving its files.
    broken: dict[Key, str] = field(default_factory=dict)
    fetched: list[Key] = field(default_factory=list)
    _on_state: Callable[[State], None] | None = None

    async def follow(self, on_state: Callable[[State], None]) -> None:
        """Waits for the test's words."""
        self._on_state = on_state
        await asyncio.get_running_loop().create_future()

    def tell(self, *tables: Table) -> None:
        """Says what should be served."""
        self._on_state(state(*tables))

    async def fetch(self, version: Version, used: Collection[Version]) -> Path:
        """The same folder for every version."""
        self.fetched.append(version.key)
        if version.key in self.broken:
            raise SourceError(self.broken[version.key])
        return self.folder

    async def close(self) -> None:
        """Nothing is held."""


@dataclass
class FakeLoader:
    """Implements `services.serving.loader.Loader`."""

    limits: Limits
    memory_bytes: int = 1
    make: Callable[[], FakeEngine] = FakeEngine
    engines: dict[Key, FakeEngine] = field(default_factory=dict)

    def measure(self, folder: Path) -> int:
        """The same for all."""
        return self.memory_bytes

    async def load(self, version: Version, folder: Path) -> Loaded:
        """Makes a version with the engine that is there for it, or a new one."""
        engine = self.engines.setdefault(version.key, self.make())
        model = read_model(folder, version.key.model, version.key.digest)
        prompts = read_prompts(folder)
        return Loaded(version, model, prompts, engine, self.limits, self.memory_bytes)
