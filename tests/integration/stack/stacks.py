"""A small stack of stand-in programs under a real supervisord.

    python -m tests.integration.stack.stacks HOME [MANNER]

starts one as `./parley up` would, with the last program living in that manner.
"""

import dataclasses
import sys
import time
from collections.abc import Callable
from pathlib import Path

from stack import up
from stack.home import Home
from stack.plan import Plan, Probe, Program
from stack.ports import Ports
from stack.scaling import Make

STAND_IN = Path(__file__).with_name("stand_in.py")
NAMES = ("serving-0", "gateway", "envoy")


def events_file(home: Home) -> Path:
    """Where the stand-ins write down their lives."""
    return home.path / "events"


def events(home: Home) -> list[str]:
    """What the stand-ins wrote down, in order."""
    return events_file(home).read_text().splitlines()


def tell(home: Home) -> None:
    """Has those that answer when they are told, answer."""
    events_file(home).with_name("told").touch()


def plan_of(home: Home, **manners: str) -> Plan:
    """Three stand-ins, one per wave. `manners` maps a name to its manner (`serving` for
    serving-0)."""
    programs = tuple(
        _stand_in(home, name, wave, manners.get(name.removesuffix("-0"), ""))
        for wave, name in enumerate(NAMES)
    )
    return Plan(home, Ports(1, 2, 3, 4, (5,)), home.starter_model, programs)


def one_more(manner: str = "", ready_within_s: float = 20, stop_within_s: float = 2) -> Make:
    """Makes stand-ins for further replicas, in that manner."""

    def make(plan: Plan, index: int, memory_gib: float) -> Program:
        made = _stand_in(plan.home, f"serving-{index}", 0, manner)
        return dataclasses.replace(made, ready_within_s=ready_within_s, stop_within_s=stop_within_s)

    return make


def _stand_in(home: Home, name: str, wave: int, manner: str) -> Program:
    socket = str(home.socket(name))
    command = (sys.executable, str(STAND_IN), name, socket, str(events_file(home)))
    return Program(
        name=name,
        wave=wave,
        command=(*command, manner) if manner else command,
        probes=(Probe("http", "http://localhost/", socket=socket),),
        ready_within_s=20,
        stop_within_s=2,
    )


def wait_until(true: Callable[[], bool], what: str, within_s: float = 20) -> float:
    """Waits for a condition, never for a time; gives the seconds it took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < within_s, f"not within {within_s} s: {what}"
        time.sleep(0.02)
    return time.monotonic() - began


if __name__ == "__main__":
    where = Home(Path(sys.argv[1]))
    up.start_with(where, lambda: plan_of(where, envoy="".join(sys.argv[2:])))
