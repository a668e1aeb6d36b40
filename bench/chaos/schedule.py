"""Which fault strikes when and whom: all of it from a seed. Pure."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """What can go wrong."""

    KILL = "kill"
    """kill -9 of a replica."""
    TERM = "term"
    """SIGTERM of a replica, which drains and is started again."""
    STOP = "stop"
    """SIGSTOP of a replica, and SIGCONT later."""
    ENGINE = "engine"
    """kill -9 of a replica's engine process."""
    BLACKHOLE = "blackhole"
    """All bytes between Envoy and a replica are lost, while the connections stay."""
    RESET = "reset"
    """All connections between Envoy and a replica are reset."""
    DELAY = "delay"
    """All bytes between Envoy and a replica come late."""
    MESH = "mesh"
    """kill -9 of the control plane."""
    ENVOY = "envoy"
    """kill -9 of Envoy, which ends the clients' connections."""
    GATEWAY = "gateway"
    """kill -9 of the facade, which ends the clients' streams."""


PROXIED = frozenset({Fault.BLACKHOLE, Fault.RESET, Fault.DELAY})
"""Faults of the connection to a replica; they need a proxy in front of it."""
BREAKING = frozenset({Fault.ENVOY, Fault.GATEWAY})
"""Faults of what a client's connection ends at: what they meet cannot be mended for it."""
WHOLE_PROGRAMS = {Fault.MESH: "mesh", Fault.ENVOY: "envoy", Fault.GATEWAY: "gateway"}
"""Faults that strike the one program of that name, not a replica."""
HOLDS_S = {Fault.STOP: 12.0, Fault.BLACKHOLE: 12.0, Fault.DELAY: 6.0}
"""How long a fault lasts, of those that do not end by themselves."""
QUIET_S = 10.0
"""From the end of one fault to the next one, at least."""
FIRST_AFTER_S = 2.0


@dataclass(frozen=True, slots=True)
class Blow:
    """One fault: when after the load began at the earliest, against which program, how long."""

    at_s: float
    fault: Fault
    program: str
    hold_s: float = 0.0


def plan_blows(
    faults: Sequence[Fault], seconds: float, replicas: Sequence[str], seed: int
) -> tuple[Blow, ...]:
    """Faults one after another for so many seconds: each kind once before any comes again.

    The same arguments give the same blows. The last one leaves as much time as lies between two.
    Raises ValueError without a fault or a replica.
    """
    if not faults or not replicas:
        raise ValueError("there must be a fault and a replica")
    chance = random.Random(f"blows {seed}")
    blows: list[Blow] = []
    waiting: list[Fault] = []
    at_s = FIRST_AFTER_S
    while True:
        if not waiting:
            waiting = chance.sample(list(faults), len(faults))
        fault = waiting.pop()
        hold_s = HOLDS_S.get(fault, 0.0)
        program = WHOLE_PROGRAMS.get(fault) or chance.choice(list(replicas))
        if blows and at_s + hold_s + QUIET_S > seconds:
            return tuple(blows)
        blows.append(Blow(round(at_s, 3), fault, program, hold_s))
        at_s += hold_s + QUIET_S


def read_faults(text: str) -> tuple[Fault, ...]:
    """Reads names with commas between. Raises ValueError naming those that there are."""
    names = [word.strip() for word in text.split(",") if word.strip()]
    unknown = [name for name in names if name not in set(Fault)]
    if unknown or not names or len(set(names)) < len(names):
        known = ", ".join(Fault)
        raise ValueError(f"{text!r} is not a list of different faults; there are {known}")
    return tuple(Fault(name) for name in names)
