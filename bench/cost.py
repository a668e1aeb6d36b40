"""What a token costs the mesh's parts, each by its own processor time as the kernel counts it.

The kernel counts in ticks of 10 ms: measure over some thousand tokens.
"""

from collections import Counter

import psutil

from stack.supervisor import Supervisor
from stack.up import Running

FACADE, ENVOY, REPLICAS = "facade", "Envoy", "replicas"


class Meter:
    """The processes of one stack. Replicas count without their engines, which have their own."""

    def __init__(self, running: Running) -> None:
        pids = {name: one.pid for name, one in Supervisor(running.plan.home).processes().items()}
        self._processes = {
            FACADE: [psutil.Process(pids["gateway"])],
            ENVOY: [psutil.Process(pids["envoy"])],
            REPLICAS: [psutil.Process(pids[name]) for name in running.plan.replicas()],
        }

    def read(self) -> Counter[str]:
        """Seconds of processor time that each part has used since it began."""
        found: Counter[str] = Counter()
        for part, processes in self._processes.items():
            for times in (process.cpu_times() for process in processes):
                found[part] += times.user + times.system
        return found


def per_token_us(spent_s: Counter[str], tokens: int) -> dict[str, float]:
    """Microseconds a token, by part; empty where there was no token."""
    return {part: round(s * 1e6 / tokens, 1) for part, s in spent_s.items()} if tokens else {}
