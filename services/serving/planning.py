"""What to do next, so that what is loaded becomes what is wanted, within a memory budget. Pure.

Make before break: what takes traffic stays until what replaces it is ready. What must be loaded
goes before what only stands by.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from services.serving.routing import Phase
from services.serving.wanted import Key, State

GIB = 1 << 30
LEAVING = (Phase.DRAINING, Phase.CLOSING)
SETTLED = (Phase.READY, Phase.BROKEN, Phase.FAILED)
LOADED = (Phase.LOADING, Phase.READY, Phase.BROKEN)


@dataclass(frozen=True, slots=True)
class Held:
    """How far a version has come, and the memory that it takes, or will take once it is loaded."""

    phase: Phase
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Fetch:
    """Get a version's files."""

    key: Key


@dataclass(frozen=True, slots=True)
class Load:
    """Start an engine for a version whose files are here."""

    key: Key


@dataclass(frozen=True, slots=True)
class Unload:
    """Let a version's streams end, then end its engine."""

    key: Key


@dataclass(frozen=True, slots=True)
class Revive:
    """Keep a version that is being unloaded."""

    key: Key


@dataclass(frozen=True, slots=True)
class Refuse:
    """Do not load a version, since it cannot fit."""

    key: Key
    detail: str


Action = Fetch | Load | Unload | Revive | Refuse


def plan(
    wanted: State,
    held: Mapping[Key, Held],
    active: Collection[Key],
    budget_bytes: int | None,
) -> list[Action]:
    """Says what can be done now; asked again whenever something has changed.

    `active` are the versions that requests go to at present, and may not be unloaded; a version
    that is not `held` has not been begun. Without a budget everything fits.
    """
    return _Planner(wanted, held, active, budget_bytes).run()


class _Planner:
    def __init__(
        self,
        wanted: State,
        held: Mapping[Key, Held],
        active: Collection[Key],
        budget_bytes: int | None,
    ) -> None:
        self._needed = [version.key for table in wanted.tables for version in table.needed()]
        self._standby = [
            version.key
            for table in wanted.tables
            for version in table.versions
            if version.key not in self._needed
        ]
        self._held = dict(held)
        self._active = active
        self._budget_bytes = budget_bytes
        self._actions: list[Action] = []

    def run(self) -> list[Action]:
        """Plans in the order of importance."""
        for key in (*self._needed, *self._standby):
            self._begin(key)
        for key in self._needed:
            if self._phase(key) is Phase.STORED:
                self._make_fit(key)
        if all(self._phase(key) in SETTLED for key in self._needed):
            for key in self._standby:
                self._bring_standby(key)
        self._drop_unwanted()
        return self._actions

    def _phase(self, key: Key) -> Phase | None:
        held = self._held.get(key)
        return held.phase if held else None

    def _begin(self, key: Key) -> None:
        """Fetches what is needed; keeps whatever of the wanted is about to go, unless it goes to
        make room."""
        if self._phase(key) is None and key in self._needed:
            self._actions.append(Fetch(key))
        elif self._phase(key) is Phase.DRAINING and self._may_stay(key):
            self._actions.append(Revive(key))
            self._set(key, Phase.READY)

    def _may_stay(self, key: Key) -> bool:
        waits = any(self._phase(other) is Phase.STORED for other in self._needed)
        return key in self._needed or not waits

    def _make_fit(self, key: Key) -> None:
        need = self._held[key].memory_bytes
        if self._fits(need):
            self._load(key)
            return
        leaving = sum(held.memory_bytes for held in self._held.values() if held.phase in LEAVING)
        need -= self._free() + leaving
        for other in self._droppable():
            if need <= 0:
                break
            need -= self._held[other].memory_bytes
        if need > 0:
            self._actions.append(Refuse(key, self._words(key)))
            self._held[key] = Held(Phase.FAILED)
            return
        self._drop_for(self._held[key].memory_bytes - self._free() - leaving)

    def _drop_for(self, need: int) -> None:
        for other in self._droppable():
            if need <= 0:
                break
            need -= self._held[other].memory_bytes
            self._unload(other)

    def _droppable(self) -> list[Key]:
        """What may be unloaded to make room, the least useful first."""
        loaded = [
            key
            for key in self._held
            if self._phase(key) in LOADED and key not in {*self._active, *self._needed}
        ]
        return sorted(loaded, key=lambda key: key in self._standby)

    def _bring_standby(self, key: Key) -> None:
        if self._phase(key) is None:
            self._actions.append(Fetch(key))
        elif self._phase(key) is Phase.STORED and self._fits(self._held[key].memory_bytes):
            self._load(key)

    def _drop_unwanted(self) -> None:
        wanted = {*self._needed, *self._standby, *self._active}
        for key in list(self._held):
            if key not in wanted and self._phase(key) in LOADED:
                self._unload(key)

    def _load(self, key: Key) -> None:
        self._actions.append(Load(key))
        self._set(key, Phase.LOADING)

    def _unload(self, key: Key) -> None:
        self._actions.append(Unload(key))
        self._set(key, Phase.DRAINING)

    def _set(self, key: Key, phase: Phase) -> None:
        self._held[key] = Held(phase, self._held[key].memory_bytes)

    def _taken(self, keys: Iterable[Key]) -> int:
        return sum(
            self._held[key].memory_bytes for key in keys if self._phase(key) in (*LOADED, *LEAVING)
        )

    def _free(self) -> int:
        return (self._budget_bytes or 0) - self._taken(self._held)

    def _fits(self, need: int) -> bool:
        return self._budget_bytes is None or need <= self._free()

    def _words(self, key: Key) -> str:
        kept = self._taken(other for other in self._held if other not in self._droppable())
        return (
            f"needs about {self._held[key].memory_bytes / GIB:.2f} GiB of memory, and of "
            f"{(self._budget_bytes or 0) / GIB:.2f} GiB {kept / GIB:.2f} GiB are taken by versions "
            "that must stay; raise PARLEY_SERVING_MEMORY_GIB or lower PARLEY_SERVING_CACHE_GIB"
        )
