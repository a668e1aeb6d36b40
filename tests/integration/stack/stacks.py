"""A small stack of stand-in programs under a real supervisord.

    python -m tests.integration.stack.stacks HOME [MANNER]

starts one as `./parley up` would, with the last program living in that manner.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from stack import up
from stack.home import Home
from stack.plan import Plan, Probe, Program
from stack.ports import Ports

STAND_IN = Path(__file__).with_name("stand_in.py")
NAMES = ("serving-0", "gateway", "envoy")


def events_file(home: Home) -> Path:
    """Where the stand-ins write down their lives."""
    return home.path / "events"


def events(home: Home) -> list[str]:
    """What the stand-ins wrote down, in order."""
    return events_file(home).read_text().splitlines()


def plan_of(home: Home, **manners: str) -> Plan:
    """Three stand-ins, one per wave. `manners` maps a name to its manner (`serving` for
    serving-0)."""
    programs = []
    for wave, name in enumerate(NAMES):
        socket = str(home.socket(name))
        manner = manners.get(name.removesuffix("-0"), "")
        command = (sys.executable, str(STAND_IN), name, socket, str(events_file(home)))
        programs.append(
            Program(
                name=name,
                wave=wave,
                command=(*command, manner) if manner else command,
                probes=(Probe("http", "http://localhost/", socket=socket),),
                ready_within_s=20,
                stop_within_s=2,
            )
        )
    return Plan(home, Ports(1, 2, 3, 4, (5,)), home.starter_model, tuple(programs))


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
