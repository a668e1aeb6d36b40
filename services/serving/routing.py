"""Which version answers a request, by what it asks for and what is loaded. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from services.rpc.errors import InvalidArgument, NotFound, Unavailable
from services.serving.wanted import WEIGHT_ALL, Key, Route, State, Table, Version

RETRY_AFTER_S = 2.0


class Phase(StrEnum):
    """How far a version has come in this replica."""

    FETCHING = "fetching"
    STORED = "stored"
    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"
    CLOSING = "closing"
    # It has an engine that keeps ending.
    BROKEN = "broken"
    # It has none, and a reason for that.
    FAILED = "failed"


# Requests may wait before an engine that starts.
WAITING = (Phase.READY, Phase.LOADING)
# The engine's own words are better than ours.
ANSWERING = (*WAITING, Phase.BROKEN)


@dataclass(frozen=True, slots=True)
class Choice:
    """The version for a request, by the table that chose it. Only what took its share of the
    traffic is mirrored."""

    key: Key
    table: Table
    by_weight: bool


def pick(routes: Sequence[Route], usable: Sequence[str], chance: float) -> str | None:
    """Picks one of the `usable` versions by weight; the same `chance`, from 0 to below 1, picks the
    same."""
    open_routes = [route for route in routes if route.version in usable]
    rest = chance * sum(route.weight for route in open_routes)
    for route in open_routes:
        rest -= route.weight
        if rest < 0:
            return route.version
    # Rounding may leave nothing below zero.
    return open_routes[-1].version if open_routes else None


def settle(
    tables: Mapping[str, Table], wanted: State, phases: Mapping[Key, Phase]
) -> dict[str, Table]:
    """The tables to route by: a model's new one counts once a version that it gives traffic to is
    ready; until then the old one goes on, if there is anything behind it.

    A replica that begins with versions that it cannot have has no old one: what stands by answers.
    """
    settled = {}
    for new in wanted.tables:
        old = tables.get(new.model)
        ready = any(phases.get(version.key) is Phase.READY for version in new.routed())
        stands = old and any(phases.get(version.key) in WAITING for version in old.routed())
        settled[new.model] = old if old and stands and not ready else _or_standby(new, phases)
    return settled


def _or_standby(table: Table, phases: Mapping[Key, Phase]) -> Table:
    if any(phases.get(version.key) is not Phase.FAILED for version in table.routed()):
        return table
    for version in table.versions:
        if version.standby and phases.get(version.key) is Phase.READY:
            return replace(table, routes=(Route(version.key.version, WEIGHT_ALL),))
    return table


def choose(
    asked: str,
    tables: Mapping[str, Table],
    wanted: State | None,
    phases: Mapping[Key, Phase],
    chance: float,
    pinned: str = "",
) -> Choice:
    """The version for a request that asks for "name", "name@alias", "name@version" or "".

    Where it names only the model, `pinned` is the version that a proxy has chosen by weight, empty
    for none. Raises NotFound for what is not here, InvalidArgument where a name must be given, and
    Unavailable for what may be here soon.
    """
    if wanted is None:
        raise Unavailable(
            "This replica does not know yet what to serve. Ask again.",
            reason="MODELS_UNKNOWN",
            retry_after_s=RETRY_AFTER_S,
        )
    if not asked:
        return _by_weight(_only(tables), phases, chance)
    if asked in tables:
        if pinned:
            return _pinned(asked, pinned, tables, wanted, phases)
        return _by_weight(tables[asked], phases, chance)
    name, _, version_name = asked.rpartition("@")
    table = tables.get(name)
    version = table.named(version_name) if table else None
    if table is not None and version is None:
        # Not in force yet, but its number may be asked for.
        new = _coming(name, wanted)
        found = new.named(version_name) if new else None
        version = found if found and found.key.version == version_name else None
    if table is None or version is None:
        raise _not_found(asked, tables)
    return Choice(_there(version, phases), table, by_weight=False)


def _coming(model: str, wanted: State) -> Table | None:
    """The table of a model that may not be in force yet."""
    return next((table for table in wanted.tables if table.model == model), None)


def _pinned(
    model: str,
    pinned: str,
    tables: Mapping[str, Table],
    wanted: State,
    phases: Mapping[Key, Phase],
) -> Choice:
    """The version that a proxy has chosen, by the newest table that knows it."""
    for table in (_coming(model, wanted), tables[model]):
        for version in table.versions if table else ():
            if version.key.version == pinned and phases.get(version.key) is Phase.READY:
                return Choice(version.key, table, by_weight=True)
    raise Unavailable(
        f"{model}@{pinned} does not answer here at present. Ask again.",
        reason="MODEL_LOADING",
        metadata={"model": f"{model}@{pinned}"},
        retry_after_s=RETRY_AFTER_S,
    )


def _only(tables: Mapping[str, Table]) -> Table:
    if not tables:
        raise NotFound("There is no model here.", reason="MODEL_NOT_FOUND", metadata={"model": ""})
    if len(tables) > 1:
        names = ", ".join(map(repr, sorted(tables)))
        raise InvalidArgument(
            f"There are several models here: {names}. Name one of them.",
            reason="INVALID_FIELD",
            metadata={"field": "model"},
        )
    return next(iter(tables.values()))


def _by_weight(table: Table, phases: Mapping[Key, Phase], chance: float) -> Choice:
    routed = table.routed()
    for fit in ((Phase.READY,), WAITING, ANSWERING):
        usable = [one.key.version for one in routed if phases.get(one.key) in fit]
        picked = pick(table.routes, usable, chance)
        version = table.named(picked) if picked else None
        if version is not None:
            return Choice(version.key, table, by_weight=True)
    raise _not_ready(table.model, [phases.get(one.key) for one in routed])


def _there(version: Version, phases: Mapping[Key, Phase]) -> Key:
    phase = phases.get(version.key)
    if phase in ANSWERING:
        return version.key
    raise _not_ready(str(version.key), [phase])


def _not_ready(what: str, phases: Sequence[Phase | None]) -> Unavailable:
    if phases and all(phase is Phase.FAILED for phase in phases):
        return Unavailable(
            f"{what} cannot be served by this replica; another one may. Its list of loaded models "
            "says why.",
            reason="MODEL_FAILED",
            metadata={"model": what},
            retry_after_s=RETRY_AFTER_S,
        )
    return Unavailable(
        f"{what} is not loaded here at present. Ask again.",
        reason="MODEL_LOADING",
        metadata={"model": what},
        retry_after_s=RETRY_AFTER_S,
    )


def _not_found(asked: str, tables: Mapping[str, Table]) -> NotFound:
    there = [
        f"{name!r} (versions {', '.join(version.key.version for version in table.versions)})"
        for name, table in sorted(tables.items())
    ]
    return NotFound(
        f"There is no model {asked!r} here. This replica has {', '.join(there) or 'none'}.",
        reason="MODEL_NOT_FOUND",
        metadata={"model": asked},
    )
