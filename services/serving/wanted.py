"""What a replica should serve: models, their versions, and how requests are spread over them.

Pure data, and its form on disk. Knows neither where it comes from nor what is loaded.
"""

from dataclasses import dataclass
from typing import NamedTuple

from pydantic import TypeAdapter

WEIGHT_ALL = 100


class Key(NamedTuple):
    """One version. The digest is in it since a registry that begins anew counts from 1 again."""

    model: str
    version: str
    digest: str

    def __str__(self) -> str:
        return f"{self.model}@{self.version}"


@dataclass(frozen=True, slots=True)
class Version:
    """A version that should be loaded, and what is known of it."""

    key: Key
    engine_digest: str = ""
    aliases: tuple[str, ...] = ()
    run_id: str = ""
    dataset_digest: str = ""
    standby: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """A version's share of the requests that name only the model, in percent."""

    version: str
    weight: int


@dataclass(frozen=True, slots=True)
class Table:
    """A model: its versions, and how its traffic is spread by one revision of the state."""

    model: str
    versions: tuple[Version, ...]
    routes: tuple[Route, ...]
    mirror: str = ""
    revision: int = 0

    def named(self, name: str) -> Version | None:
        """The version of that number, or with that alias."""
        for version in self.versions:
            if version.key.version == name or name in version.aliases:
                return version
        return None

    def routed(self) -> list[Version]:
        """The versions that take traffic, the heaviest first."""
        heaviest = sorted(self.routes, key=lambda route: -route.weight)
        found = (self.named(route.version) for route in heaviest)
        return [version for version in found if version is not None]

    def needed(self) -> list[Version]:
        """The versions that must be loaded, the most important first."""
        mirror = self.named(self.mirror) if self.mirror else None
        found = [*self.routed(), *([mirror] if mirror else [])]
        found += [version for version in self.versions if not version.standby]
        return list(dict.fromkeys(found))

    def weight(self, version: str) -> int:
        """The share of a version, 0 for none."""
        return next((route.weight for route in self.routes if route.version == version), 0)


@dataclass(frozen=True, slots=True)
class State:
    """Everything at one revision, sorted by the models' names."""

    revision: int
    tables: tuple[Table, ...]

    def to_json(self) -> bytes:
        """The state's form on disk."""
        return _JSON.dump_json(self)


_JSON = TypeAdapter(State)


def state_from_json(data: bytes) -> State:
    """Reads what `State.to_json` wrote. Raises ValueError for anything else."""
    return _JSON.validate_json(data)
