"""Carries faults out on a running stack, and sees when it is whole again."""

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import psutil

from bench.chaos.history import Noticed
from bench.chaos.proxy import ProxyThread
from bench.chaos.schedule import PROXIED, WHOLE_PROGRAMS, Blow, Fault
from bench.rotation import POLL_S, Envoy
from stack.supervisor import Supervisor
from stack.up import Running

DELAY_S, JITTER_S = 0.2, 0.05
_SIGNALS = {Fault.TERM: signal.SIGTERM, Fault.STOP: signal.SIGSTOP}
_MIGRATES = '"generation migrates"'


class Striker:
    """Strikes one program after another. To be closed, so that nothing stays frozen."""

    def __init__(self, running: Running, proxies: ProxyThread | None) -> None:
        self._supervisor = Supervisor(running.plan.home)
        self._proxies = proxies
        self._frozen: set[int] = set()

    def pids(self) -> dict[str, int]:
        """The programs' processes, 0 for what does not run."""
        return {name: one.pid for name, one in self._supervisor.processes().items()}

    def strike(self, blow: Blow, pid: int) -> None:
        """Strikes. `pid` is the program's process, found beforehand: finding it takes a while.

        What ended by itself a moment ago is left alone. Raises ValueError without a process.
        """
        if not pid:
            raise ValueError(f"{blow.program} does not run, so that nothing can strike it")
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            self._strike(blow, pid)

    def lift(self, blow: Blow) -> None:
        """Takes back what does not end by itself."""
        if blow.fault in PROXIED and self._proxies is not None:
            self._proxies.tell(blow.program, "heal")
        self._wake()

    def close(self) -> None:
        """Wakes what is frozen. Safe to repeat."""
        self._wake()

    def _strike(self, blow: Blow, pid: int) -> None:
        if blow.fault in PROXIED:
            self._harm(blow)
        elif blow.fault is Fault.ENGINE:
            for engine in psutil.Process(pid).children():
                engine.kill()
        else:
            os.kill(pid, _SIGNALS.get(blow.fault, signal.SIGKILL))
            if blow.fault is Fault.STOP:
                self._frozen.add(pid)

    def _harm(self, blow: Blow) -> None:
        if self._proxies is None:
            raise ValueError(f"{blow.fault} needs a proxy")
        if blow.fault is Fault.DELAY:
            self._proxies.tell(blow.program, "delay", DELAY_S, JITTER_S)
        else:
            self._proxies.tell(
                blow.program, "black_hole" if blow.fault is Fault.BLACKHOLE else "reset"
            )

    def _wake(self) -> None:
        for pid in self._frozen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self._frozen.clear()


def missing_programs(running: Running, faults: tuple[Fault, ...]) -> list[Fault]:
    """The faults whose program is not part of this stack."""
    needed = {fault: WHOLE_PROGRAMS[fault] for fault in faults if fault in WHOLE_PROGRAMS}
    return [fault for fault, name in needed.items() if not running.plan.has(name)]


def migrations(log: Path, began_at: float) -> Iterator[Noticed]:
    """What the facade's log says of migrations, in order; `began_at` is in seconds since 1970."""
    for path in (log.with_name(log.name + ".1"), log):
        if not path.exists():
            continue
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if _MIGRATES in line:
                    said = json.loads(line)
                    at = datetime.fromisoformat(said["timestamp"]).timestamp()
                    yield Noticed(round(at - began_at, 3), said.get("reason") or "OTHER")


async def until_whole(envoy: Envoy, striker: Striker, replicas: int, within_s: float) -> bool:
    """Waits until every program runs and Envoy calls every replica; False past the bound."""
    until_s = time.monotonic() + within_s
    while True:
        pids = await asyncio.to_thread(striker.pids)
        if all(pids.values()) and await envoy.healthy() == replicas:
            return True
        if time.monotonic() > until_s:
            return False
        await asyncio.sleep(POLL_S)
