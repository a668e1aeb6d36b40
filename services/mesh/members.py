"""Who is in the mesh, by what replicas say and by how long they have said nothing.

Pure: time is given in, in seconds of a clock that never goes back, and nobody is told of anything.
A report is the contract's own message, which is kept as it came.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from parley.mesh.v1 import mesh_pb2 as pb

from services.mesh.state import Member
from services.rpc.errors import InvalidArgument, ResourceExhausted, Unavailable

MEMBERS_MAX = 256
INTERVAL_S = 1.0
# So many intervals without a report, and a replica has left.
INTERVALS_SILENT = 3
# How long those that have left are shown.
SHOWN_S = 60.0


class Change(IntEnum):
    """What a report, or a silence, comes to for those who send requests."""

    NONE = 0
    # Something more can be asked of the mesh: that may wait for more of its kind.
    MORE = 1
    # Something can be asked no longer: that must be known at once.
    LESS = 2


@dataclass(slots=True, eq=False)
class Stay:
    """A replica's time in the mesh: from a first report to the end of its stream.

    Seconds are those of the clock; `left` says why it has left, and is empty before.
    """

    report: pb.Report
    joined_s: float
    heard_s: float
    left: str = ""
    left_s: float = 0.0

    @property
    def member(self) -> Member:
        """What a snapshot has to know of it. What drains, or loads, has nothing ready."""
        serving = self.report.state == pb.REPLICA_STATE_SERVING
        ready = (
            (version.model, version.version)
            for version in self.report.versions
            if serving and version.phase == pb.VERSION_PHASE_READY
        )
        return Member(self.report.name, self.report.address, frozenset(ready), serving)


class Members:
    """Every replica of the mesh by its name, and those that left a moment ago.

    `interval_s` is how often replicas are to report.
    """

    def __init__(self, interval_s: float = INTERVAL_S, members_max: int = MEMBERS_MAX) -> None:
        self._silent_s = interval_s * INTERVALS_SILENT
        self._members_max = members_max
        self._stays: dict[str, Stay] = {}

    def present(self) -> tuple[Member, ...]:
        """Those that are in the mesh, sorted by name."""
        return tuple(stay.member for stay in self.shown() if not stay.left)

    def shown(self) -> Sequence[Stay]:
        """Those that are in the mesh or have left within the last minute, sorted by name."""
        return [self._stays[name] for name in sorted(self._stays)]

    def take(self, stay: Stay | None, report: pb.Report, now_s: float) -> tuple[Stay, Change]:
        """Takes a report of the stream whose stay that is, None for a stream's first one.

        Who reports under another's name takes its place. Raises InvalidArgument for a stream that
        changes its name, Unavailable for one whose place is taken, and ResourceExhausted where
        there are too many replicas.
        """
        if stay is not None and stay.report.name != report.name:
            raise InvalidArgument(
                f"This stream is {stay.report.name}'s; {report.name} needs one of its own.",
                reason="INVALID_FIELD",
                metadata={"field": "report.name"},
            )
        old = self._stays.get(report.name)
        if stay is not None and old not in (None, stay):
            raise name_taken(report.name)
        before = old.member if old and not old.left else None
        if before is None:
            self._check_room()
        if stay is None:
            stay = Stay(report, now_s, now_s)
        stay.report, stay.heard_s, stay.left = report, now_s, ""
        self._stays[report.name] = stay
        return stay, _change(before, stay.member)

    def holds(self, stay: Stay) -> bool:
        """Whether that stay is still its name's, and no other has taken its place."""
        return self._stays.get(stay.report.name) is stay

    def leave(self, stay: Stay, why: str, now_s: float) -> Change:
        """Ends a stay, unless it has ended, or another has taken its place."""
        if stay.left or not self.holds(stay):
            return Change.NONE
        gone = stay.member
        stay.left, stay.left_s = why, now_s
        return _change(gone, None)

    def expire(self, now_s: float) -> Change:
        """Has those leave that have been silent for too long, and forgets those that left long ago.

        One that was only slow to speak is back with its next report.
        """
        found = Change.NONE
        for name, stay in list(self._stays.items()):
            if stay.left:
                if now_s - stay.left_s >= SHOWN_S:
                    del self._stays[name]
            elif now_s - stay.heard_s >= self._silent_s:
                why = f"Nothing was heard of it for {self._silent_s:g} s."
                found = max(found, self.leave(stay, why, now_s))
        return found

    def _check_room(self) -> None:
        count = sum(not stay.left for stay in self._stays.values())
        if count < self._members_max:
            return
        raise ResourceExhausted(
            f"This mesh has {count} replicas, which is as many as it takes.",
            reason="MESH_FULL",
            metadata={"members_max": str(self._members_max)},
            retry_after_s=SHOWN_S,
        )


def name_taken(name: str) -> Unavailable:
    """What the stream of a replica is told whose place another one has taken."""
    return Unavailable(
        f"Another replica has joined as {name}. Give each a name of its own.",
        reason="NAME_TAKEN",
        metadata={"name": name},
    )


def _change(before: Member | None, after: Member | None) -> Change:
    """What it means that one member stands in the place of another; None is no member."""
    if before == after:
        return Change.NONE
    if before is None:
        return Change.MORE
    kept = after is not None and after.address == before.address
    if not kept or (before.serving and not after.serving) or before.ready - after.ready:
        return Change.LESS
    return Change.MORE
