"""Looks at a running stack: each service's process, and whether it answers."""

import dataclasses
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil

from stack.home import Home
from stack.plan import Plan, Program
from stack.readiness import ask
from stack.supervisor import Process, Supervisor

ANSWER_WITHIN_S = 2.0
LOG_BYTES_MAX = 1 << 20
READY = "ready"
ALIVE = {"STARTING", "RUNNING"}
WORDS = {"FATAL": "gave up: see its log", "BACKOFF": "ended; it is started again soon"}


@dataclass(frozen=True)
class Service:
    """One service as found. `memory_mib` counts its child processes too.

    One that `up` does not wait for is healthy while it may still be starting, as `words` say.
    """

    name: str
    healthy: bool
    words: str
    pid: int
    up_s: float
    restarts: int
    memory_mib: int

    def to_json(self) -> dict[str, Any]:
        """The service as JSON values."""
        return dataclasses.asdict(self)


def look(plan: Plan) -> list[Service]:
    """Every service of `plan`. Raises OSError when supervisord does not answer."""
    processes = Supervisor(plan.home).processes()
    starts = _starts(plan.home)
    # A replica that has just been taken away may be in the plan still.
    found = [program for program in plan.programs if program.name in processes]
    return [_look(program, processes[program.name], starts) for program in found]


def _look(program: Program, process: Process, starts: dict[str, int]) -> Service:
    words = "" if process.state in ALIVE else WORDS.get(process.state, process.state.lower())
    if not words:
        words = next((w for p in program.probes if (w := ask(p, ANSWER_WITHIN_S))), "")
    up_s = round(time.time() - process.started_at, 1) if process.pid else 0
    return Service(
        name=program.name,
        healthy=not words or _may_start(program, process, up_s),
        words=words or READY,
        pid=process.pid,
        up_s=up_s,
        restarts=max(0, starts.get(program.name, 1) - 1),
        memory_mib=_memory_mib(process.pid),
    )


def _may_start(program: Program, process: Process, up_s: float) -> bool:
    """Whether it is one that `up` does not wait for, and is in its time."""
    return not program.awaited and process.state in ALIVE and up_s < program.ready_within_s


def _starts(home: Home) -> dict[str, int]:
    """How often supervisord has started each program, from its own log."""
    try:
        text = home.log("supervisor").read_bytes()[-LOG_BYTES_MAX:].decode(errors="replace")
    except FileNotFoundError:
        return {}
    counts: dict[str, int] = {}
    for name in re.findall(r"spawned: '([^']+)'", text.rpartition("supervisord started")[2]):
        counts[name] = counts.get(name, 0) + 1
    return counts


def _memory_mib(pid: int) -> int:
    if not pid:
        return 0
    total = 0
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):  # a short-lived child that has just ended
                total += one.memory_info().rss
    return total >> 20
