"""A replica: the versions that it holds, which of them answers what, and what it says of itself."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.serving.loaded import Loaded
from services.serving.planning import Held
from services.serving.routing import Choice, Phase, choose, settle
from services.serving.wanted import Key, State, Table, Version

ENGINE_KEEPS_DYING = "its engine keeps ending; the replica's log says how"


@dataclass(frozen=True, slots=True)
class Note:
    """What is to be said of a version that has no engine here."""

    phase: Phase
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What a replica says of one version."""

    version: Version
    phase: Phase
    detail: str
    revision: int
    weight: int
    loaded: Loaded | None


class Replica:
    """What the servicer answers from. Holds state only; `keeper` changes it.

    `name` is its name in the mesh, empty for none.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.versions: dict[Key, Loaded] = {}
        self.notes: dict[Key, Note] = {}
        self.wanted: State | None = None
        self.tables: dict[str, Table] = {}
        self.draining = False

    @property
    def phases(self) -> dict[Key, Phase]:
        """How far each version has come."""
        noted = {key: note.phase for key, note in self.notes.items()}
        return noted | {key: loaded.phase for key, loaded in self.versions.items()}

    @property
    def active(self) -> list[Key]:
        """The versions that requests go to by weight."""
        return [version.key for table in self.tables.values() for version in table.routed()]

    @property
    def serving(self) -> bool:
        """Whether requests should be sent here."""
        ready = any(self.phases.get(key) is Phase.READY for key in self.active)
        return ready and not self.draining

    def want(self, state: State) -> None:
        """Takes a new state of what should be served."""
        self.wanted = state
        self.settle()

    def settle(self) -> None:
        """Lets the tables that are ready to count, count."""
        if self.wanted is not None:
            self.tables = settle(self.tables, self.wanted, self.phases)

    def choose(self, asked: str, chance: float, pinned: str = "") -> Choice:
        """The version that answers a request for `asked`; see `routing.choose`."""
        return choose(asked, self.tables, self.wanted, self.phases, chance, pinned)

    def mirror(self, choice: Choice) -> Loaded | None:
        """The version that gets a copy of a request, if one does."""
        if not choice.by_weight or not choice.table.mirror:
            return None
        version = choice.table.named(choice.table.mirror)
        return self.versions.get(version.key) if version else None

    def held(self) -> dict[Key, Held]:
        """What a plan must know of the versions that have an engine."""
        return {
            key: Held(loaded.phase, loaded.memory_bytes) for key, loaded in self.versions.items()
        }

    def report(self) -> list[Report]:
        """Everything that there is to say, sorted by model and version."""
        known = self._known()
        found = {*self.versions, *(key for key in self.notes if key in known)}
        return [self._report(key, known) for key in sorted(found, key=_order)]

    def _known(self) -> dict[Key, Version]:
        wanted = self.wanted.tables if self.wanted else ()
        tables: Sequence[Table] = [*self.tables.values(), *wanted]
        return {version.key: version for table in tables for version in table.versions}

    def _report(self, key: Key, known: dict[Key, Version]) -> Report:
        loaded = self.versions.get(key)
        note = self.notes.get(key)
        phase = loaded.phase if loaded else note.phase if note else Phase.FETCHING
        detail = note.detail if note else ""
        if phase is Phase.BROKEN:
            detail = ENGINE_KEEPS_DYING
        table = self.tables.get(key.model)
        takes = table is not None and key in {version.key for version in table.routed()}
        return Report(
            version=known.get(key) or loaded.version,  # type: ignore[union-attr]
            phase=Phase.DRAINING if self.draining else phase,
            detail=detail,
            revision=table.revision if table else 0,
            weight=table.weight(key.version) if table and takes else 0,
            loaded=loaded,
        )


def _order(key: Key) -> tuple[str, int, str, str]:
    """Numbers in their own order, before other names."""
    number = int(key.version) if key.version.isdecimal() else 1 << 62
    return key.model, number, key.version, key.digest
