"""Adds serving replicas to a running stack, or takes some away, while everything else runs on.

Each step leaves the record, supervisord and its configuration so that the same call, repeated, goes
on from there: a program is known to supervisord before the record has it, and until it has left the
record. What joins and leaves tells the mesh by itself. Knows no words but those of failures and
progress.
"""

import dataclasses
import http.client
import re
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

from stack import keys, plan, readiness, record, supervisor_conf, up
from stack.down import KILL_MARGIN_S
from stack.errors import Exit, StackError
from stack.home import Home
from stack.plan import REPLICAS_MAX, Plan, Program
from stack.ports import LOOPBACK, SERVING_METRICS, next_free
from stack.progress import Narrator, Silent
from stack.supervisor import ENDED, Supervisor

POLL_S = 0.1
COUNT_WITHIN_S = 0.5
SILENT = Silent()
MEMORY = "PARLEY_SERVING_MEMORY_GIB"
Make = Callable[[Plan, int, float], Program]
_UNDER_WAY = re.compile(r"^parley_num_requests_(?:running|waiting)\{.*\} (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Scaled:
    """What came of it: the plan as it is now, and which replicas came and went."""

    plan: Plan
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    @property
    def memory_gib(self) -> dict[str, float]:
        """The bound of each replica's engines; empty where one folder is served."""
        told = {name: self.plan.program(name).environment for name in self.plan.replicas()}
        return {name: float(one[MEMORY]) for name, one in told.items() if MEMORY in one}


def scale(
    home: Home, replicas: int, progress: Narrator = SILENT, *, make: Make = plan.replica
) -> Scaled:
    """Has `replicas` of serving run, 1 to 16, and waits until they are ready, or gone.

    New ones are made by `make` and may take an equal share of the engines' memory, but no more than
    is free now; those that run keep the bound that they started with. The highest numbers go first,
    each after its answers, or its drain's bound. Interrupted or failed on the way up, what is new
    is taken back; on the way down, what was asked to stop goes on stopping. Safe to repeat.

    Raises StackError, with exit code 3 when no stack runs.
    """
    if not 1 <= replicas <= REPLICAS_MAX:
        raise StackError(
            f"Parley runs with 1 to {REPLICAS_MAX} replicas, not with {replicas}.", code=Exit.USAGE
        )
    up.require(home)
    with up.holding(home, progress):
        scaling = _Scaling(up.require(home).plan, progress)
        scaling.forget_strays()
        have = len(scaling.plan.replicas())
        if replicas < have:
            return scaling.shrink(replicas)
        return scaling.grow(replicas, make)


class _Scaling:
    """One change of a running stack, whose `plan` is what the record holds."""

    def __init__(self, planned: Plan, progress: Narrator) -> None:
        self.plan = planned
        self._supervisor = Supervisor(planned.home)
        self._progress = progress

    def forget_strays(self) -> None:
        """Takes away what an interrupted call left in supervisord without recording it."""
        for name in self._supervisor.processes():
            if name.startswith(plan.REPLICA) and not self.plan.has(name):
                stray = dataclasses.replace(self.plan.program(self.plan.replicas()[0]), name=name)
                self._supervisor.stop(name)
                self._await_end(stray, SILENT)
                self._supervisor.remove(name)

    def grow(self, replicas: int, make: Make) -> Scaled:
        """Adds what is missing, starts what does not run, and waits for all of them."""
        before = self.plan.replicas()
        added = tuple(self._add(replicas - len(before), make))
        began = time.monotonic()
        try:
            self._start()
            for name in self.plan.replicas():
                readiness.wait(self.plan, self.plan.program(name), self._supervisor, self._progress)
                if name in added:
                    took_s = time.monotonic() - began
                    self._progress.done(name, f"ready in {took_s:.1f} s")
        except BaseException:
            if added:
                self._progress.note("Taking back what was added.")
                self._remove(added, SILENT)
            raise
        return Scaled(self.plan, added=added)

    def shrink(self, replicas: int) -> Scaled:
        """Takes the highest numbers away, all at the same time."""
        leaving = tuple(self.plan.replicas()[replicas:])
        try:
            self._remove(leaving, self._progress)
        except KeyboardInterrupt:
            self._progress.note(f"They go on stopping. Finish with: ./parley scale {replicas}")
            raise
        return Scaled(self.plan, removed=leaving)

    def _add(self, count: int, make: Make) -> list[str]:
        """Makes programs known to supervisord, and then to the record. Starts nothing."""
        if count <= 0:
            return []
        have = len(self.plan.replicas())
        ports = list(self.plan.ports.serving_metrics)
        for index in range(have, have + count):
            taken = (*self.plan.ports.all(), *ports)
            ports.append(next_free(SERVING_METRICS + index, taken))
        spread = dataclasses.replace(self.plan.ports, serving_metrics=tuple(ports))
        wanted = dataclasses.replace(self.plan, ports=spread)
        share_gib = _share_gib(have + count, count)
        new = [make(wanted, index, share_gib) for index in range(have, have + count)]
        wanted = wanted.with_more(new)
        self._configure(wanted)
        for program in new:
            self._supervisor.add(program.name)
        self._write(wanted)
        return [program.name for program in new]

    def _start(self) -> None:
        """Starts every replica that does not run; one that is stopping is let end first."""
        for name in self.plan.replicas():
            if self._supervisor.processes()[name].state == "STOPPING":
                self._await_end(self.plan.program(name), self._progress)
            self._supervisor.start(name)

    def _remove(self, names: Sequence[str], progress: Narrator) -> None:
        began = time.monotonic()
        for name in names:
            self._supervisor.stop(name)
        for name in reversed(names):
            self._await_end(self.plan.program(name), progress)
            progress.done(name, f"drained in {time.monotonic() - began:.1f} s")
            self._write(self.plan.without_last())
            self._supervisor.remove(name)
        self._configure(self.plan)

    def _await_end(self, program: Program, progress: Narrator) -> None:
        """Waits for a program that was asked to stop. Raises StackError past its bound."""
        deadline = time.monotonic() + program.stop_within_s + KILL_MARGIN_S
        while self._supervisor.processes()[program.name].state not in ENDED:
            if time.monotonic() > deadline:
                raise StackError(
                    f"{program.name} has not ended, although it was killed.",
                    mend="See: ./parley status",
                )
            progress.doing(program.name, _draining(program))
            time.sleep(POLL_S)

    def _configure(self, planned: Plan) -> None:
        """Has supervisord read a plan's programs. It starts, stops and restarts none for that."""
        keys.write_private(planned.home.supervisor_config, supervisor_conf.render(planned))
        self._supervisor.reread()

    def _write(self, planned: Plan) -> None:
        record.write(planned, record.RUNNING)
        self.plan = planned


def _share_gib(replicas: int, new: int) -> float:
    """The bound of one new replica's engines: its share, but no more than what is free now."""
    memory = psutil.virtual_memory()
    share = min(memory.total * up.ENGINES_SHARE / replicas, memory.available / new)
    return share / 2**30


def _draining(program: Program) -> str:
    """What a program that was asked to stop is at, with its answers where it tells."""
    count = _under_way(program.environment.get("PARLEY_SERVING_METRICS_PORT", ""))
    return "draining" if count is None else f"draining, {count} under way"


def _under_way(port: str) -> int | None:
    """Answers that a replica works on, by its metrics; None where it does not say."""
    if not port:
        return None
    with suppress(OSError, ValueError, http.client.HTTPException):
        url = f"http://{LOOPBACK}:{port}/metrics"
        with urllib.request.urlopen(url, timeout=COUNT_WITHIN_S) as answer:
            said = answer.read().decode()
        return int(sum(float(count) for count in _UNDER_WAY.findall(said)))
    return None
