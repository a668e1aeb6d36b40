"""What happened in a run, a JSON line for each thing: all that the checker is given.

Times are seconds since the run began. Lines are written as things end, so that a history whose run
was interrupted can be read, too.
"""

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO


@dataclass(frozen=True, slots=True)
class Run:
    """The first line. `began_at` is in seconds since 1970; `drain_s` is a replica's."""

    seed: int
    replicas: int
    streams: int
    faults: tuple[str, ...]
    seconds: float
    began_at: float
    drain_s: float
    version: str
    machine: str
    schedule: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """One request, and what its client was told.

    `client` is -1 where the stack was still undisturbed. `texts` and `finishes` have one item for
    each choice; `tokens` are those that log probabilities were given for, and
    `ids` counts the answers' ids: one. `stall_s` is the longest
    wait between two pieces, and `stall_at_s` when it began.
    """

    client: int
    question: int
    kind: str
    sent_s: float
    ended_s: float
    first_s: float | None
    texts: tuple[str, ...]
    finishes: tuple[str, ...]
    tokens: tuple[str, ...]
    ids: int
    usage: int | None
    migrations: int
    stall_s: float
    stall_at_s: float
    error: str
    done: bool

    @property
    def undisturbed(self) -> bool:
        """Whether it was asked before the first fault."""
        return self.client < 0


@dataclass(frozen=True, slots=True)
class Struck:
    """One fault: when it struck, when it was taken back, when all was well again (None: never)."""

    number: int
    fault: str
    program: str
    at_s: float
    lifted_s: float
    well_s: float | None


@dataclass(frozen=True, slots=True)
class Noticed:
    """The facade has given a replica up, and an answer migrates."""

    at_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class Rotation:
    """How many replicas Envoy calls from now on."""

    at_s: float
    healthy: int


Record = Run | Told | Struck | Noticed | Rotation
_KINDS: dict[str, type] = {
    kind.__name__.lower(): kind for kind in (Run, Told, Struck, Noticed, Rotation)
}


@dataclass(slots=True)
class History:
    """All of a run's records, by kind, in the order in which they were written."""

    run: Run
    told: list[Told] = field(default_factory=list)
    struck: list[Struck] = field(default_factory=list)
    noticed: list[Noticed] = field(default_factory=list)
    rotation: list[Rotation] = field(default_factory=list)

    def add(self, record: Record) -> None:
        """Takes one in."""
        getattr(self, type(record).__name__.lower()).append(record)


class Recorder:
    """Keeps a history and writes it down at once."""

    def __init__(self, file: TextIO, run: Run) -> None:
        self._file = file
        self.history = History(run)
        self._write(run)

    def add(self, record: Record) -> None:
        """Takes one in, and writes it."""
        self.history.add(record)
        self._write(record)

    def _write(self, record: Record) -> None:
        self._file.write(to_line(record))
        self._file.flush()


def to_line(record: Record) -> str:
    """One record as a line."""
    return json.dumps({"record": type(record).__name__.lower(), **_plain(record)}) + "\n"


def read(lines: Iterable[str]) -> History:
    """The history that these lines hold. Raises ValueError with the number of the line that is no
    record; a last line that was cut off is left out."""
    found: History | None = None
    rows = [line for line in lines if line.endswith("\n")]
    for number, line in enumerate(rows, 1):
        try:
            record = _record(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"line {number} is no record of a history: {error}") from None
        if (found is None) != isinstance(record, Run):
            raise ValueError(f"line {number}: a history begins with its one run")
        if found is None:
            found = History(record)
        else:
            found.add(record)
    if found is None:
        raise ValueError("there is no history in it")
    return found


def read_file(path: Path) -> History:
    """As `read`. Raises OSError as well."""
    with path.open(encoding="utf-8") as file:
        return read(file)


def _plain(record: Record) -> dict[str, Any]:
    return {one.name: getattr(record, one.name) for one in dataclasses.fields(record)}


def _record(values: dict[str, Any]) -> Record:
    kind = _KINDS[values.pop("record")]
    lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return kind(**{**values, **lists})
