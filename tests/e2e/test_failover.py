"""Two replicas, 32 streams, and a process that is killed or frozen in the middle of them all."""

import asyncio
import contextlib
import itertools
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest

from bench import stacks
from bench.streams import HttpTarget
from bench.transcripts import Transcript, fetch
from stack.home import Home
from stack.plan import Plan
from stack.ports import LOOPBACK
from stack.up import Running

from .replica import ReplicaProbe

MODEL = "talkative"
STREAMS = 32
TOKENS = 900
WAIT_S = 120.0
# Each goes on in a way of its own when it migrates.
KINDS = (
    {"temperature": 0},
    {"temperature": 1, "seed": 11},
    {"temperature": 0, "response_format": {"type": "regex", "regex": "[a-m ]+"}},
)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, talkative: Path) -> Iterator[Running]:
    """A stack with two replicas, which do not wait long for their streams when they are to end."""

    def impatient(plan: Plan) -> Plan:
        for name in plan.replicas():
            plan = stacks.told(plan, name, {"PARLEY_SERVING_DRAIN_S": "0.1"})
        return plan

    home = Home(tmp_path_factory.mktemp("pair"))
    with stacks.serving(home, talkative, replicas=2, change=impatient) as running:
        yield running


@pytest.fixture
def whole_pair(pair: Running) -> Running:
    """The stack, idle, with both replicas in Envoy's rotation."""
    healthy = re.compile(r'^envoy_cluster_membership_healthy\{.*"serving"\} 2$', re.MULTILINE)
    stats = f"http://127.0.0.1:{pair.plan.ports.stats}/stats/prometheus"
    until_s = time.monotonic() + WAIT_S
    while not healthy.search(httpx.get(stats).text):
        assert time.monotonic() < until_s
        time.sleep(0.05)
    for name in pair.plan.replicas():
        with ReplicaProbe(pair, name) as probe:
            probe.idle_s(within_s=WAIT_S)
    return pair


@dataclass
class Striker:
    """Knows the processes beforehand, since finding them takes as long as a stream."""

    probes: list[ReplicaProbe]
    processes: list[psutil.Process]
    struck: list[psutil.Process] = field(default_factory=list)

    def strike(self, number: signal.Signals) -> None:
        """Sends a signal to the one that works on most streams."""
        running = [probe.model().running for probe in self.probes]
        self.struck.append(self.processes[running.index(max(running))])
        self.struck[-1].send_signal(number)


@contextlib.contextmanager
def _striker(running: Running, part: str) -> Iterator[Striker]:
    """Of the replicas or of their engines; wakes what it froze."""
    with contextlib.ExitStack() as opened:
        probes = [
            opened.enter_context(ReplicaProbe(running, name)) for name in running.plan.replicas()
        ]
        find = ReplicaProbe.process if part == "replica" else ReplicaProbe.engine
        striker = Striker(probes, [find(probe) for probe in probes])
        try:
            yield striker
        finally:
            for process in striker.struck:
                # Only a frozen one is still there to hear it.
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGCONT)


async def _streams(
    running: Running, strike: Callable[[], object] | None = None
) -> list[Transcript]:
    """All streams at once, of all kinds; `strike` is called once one has begun, for engines are
    faster than the client: much later they would be done."""
    target = HttpTarget(LOOPBACK, running.plan.ports.edge, running.api_key, MODEL)
    begun = asyncio.Event()
    bodies = (
        {
            "model": MODEL, "prompt": [300 + number, 301, 302], "max_tokens": TOKENS,
            "stream": True, "stream_options": {"include_usage": True}, **kind,
        }
        for number, kind in zip(range(STREAMS), itertools.cycle(KINDS), strict=False)
    )  # fmt: skip
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(fetch(target, body, begun.set)) for body in bodies]
        if strike is not None:
            await asyncio.wait_for(begun.wait(), WAIT_S)
            strike()
    return [task.result() for task in tasks]


def _migrations(running: Running) -> float:
    text = httpx.get(f"http://127.0.0.1:{running.plan.ports.gateway_metrics}/metrics").text
    found = re.findall(r"^parley_gateway_migrations_total\{.*\} (\S+)$", text, re.MULTILINE)
    return sum(map(float, found))


@pytest.mark.parametrize(
    ("part", "number"),
    [
        ("replica", signal.SIGKILL),
        ("replica", signal.SIGTERM),
        ("replica", signal.SIGSTOP),
        ("engine", signal.SIGKILL),
    ],
    ids=["replica killed", "replica ended", "replica frozen", "engine killed"],
)
async def test_no_stream_shows_a_lost_process(
    whole_pair: Running, part: str, number: signal.Signals
) -> None:
    """Each text is byte for byte the undisturbed one, with one id, one end and one usage."""
    whole = await _streams(whole_pair)
    before = _migrations(whole_pair)
    with _striker(whole_pair, part) as striker:
        found = await _streams(whole_pair, lambda: striker.strike(number))
    assert found == whole
    assert all(one.done and one.ids == 1 and not one.error for one in found)
    # A replica that is only ended may have finished its streams while it drained.
    assert _migrations(whole_pair) > before or number is signal.SIGTERM
