"""Two replicas, 32 streams, and a process that is killed or frozen in the middle of them all."""

import asyncio
import contextlib
import dataclasses
import json
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest

from stack import edge, up
from stack.home import Home
from stack.plan import Plan
from stack.up import Running

from .replica import ReplicaProbe

MODEL = "talkative"
STREAMS = 32
TOKENS = 900
WAIT_S = 120.0
KINDS = {
    "greedy": {"temperature": 0},
    "seeded": {"temperature": 1, "seed": 11},
    "formatted": {"temperature": 0, "response_format": {"type": "regex", "regex": "[a-m ]+"}},
}


@dataclass
class Transcript:
    """What one client was given."""

    text: str = ""
    usage: dict[str, int] | None = None
    finish: str = ""
    error: str = ""
    done: bool = False
    ids: set[str] = field(default_factory=set, compare=False)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, talkative: Path) -> Iterator[Running]:
    """A stack with two replicas, which do not wait long for their streams when they are to end."""
    home = Home(tmp_path_factory.mktemp("pair"))

    def plan() -> Plan:
        planned = up.prepare(home, 2, talkative)
        edge.write_config(planned)
        for name in planned.replicas():
            replica = planned.program(name)
            told = {**replica.environment, "PARLEY_SERVING_DRAIN_S": "0.1"}
            planned = planned.with_program(dataclasses.replace(replica, environment=told))
        return planned

    yield up.start_with(home, plan)
    up.stop(home)


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


async def _stream(
    http: httpx.AsyncClient, number: int, begun: asyncio.Event, asked: dict
) -> Transcript:
    body = {
        "model": MODEL, "prompt": [300 + number, 301, 302], "max_tokens": TOKENS, "stream": True,
        "stream_options": {"include_usage": True}, **asked,
    }  # fmt: skip
    told = Transcript()
    async with http.stream("POST", "/completions", json=body) as reply:
        reply.raise_for_status()
        async for line in reply.aiter_lines():
            if line.startswith("data: "):
                _take(told, line.removeprefix("data: "))
                if told.text:
                    begun.set()
    return told


def _take(told: Transcript, data: str) -> None:
    if data == "[DONE]":
        told.done = True
        return
    frame = json.loads(data)
    told.error += frame.get("error", {}).get("message", "")
    told.ids.add(frame.get("id", "error"))
    told.usage = frame.get("usage") or told.usage
    for choice in frame.get("choices", ()):
        told.text += choice["text"]
        told.finish += choice["finish_reason"] or ""


async def _streams(
    running: Running, asked: dict, strike: Callable[[], object] | None = None
) -> list[Transcript]:
    """All streams at once; `strike` is called once one has begun, for engines are faster than the
    client: much later they would be done."""
    headers = {"authorization": f"Bearer {running.api_key}"}
    limits = httpx.Limits(max_connections=STREAMS)
    begun = asyncio.Event()
    async with httpx.AsyncClient(
        base_url=running.base_url, headers=headers, timeout=WAIT_S, limits=limits
    ) as http, asyncio.TaskGroup() as group:  # fmt: skip
        tasks = [group.create_task(_stream(http, n, begun, asked)) for n in range(STREAMS)]
        if strike is not None:
            await asyncio.wait_for(begun.wait(), WAIT_S)
            strike()
    return [task.result() for task in tasks]


def _migrations(running: Running) -> float:
    text = httpx.get(f"http://127.0.0.1:{running.plan.ports.gateway_metrics}/metrics").text
    found = re.findall(r"^parley_gateway_migrations_total\{.*\} (\S+)$", text, re.MULTILINE)
    return sum(map(float, found))


@pytest.mark.parametrize("kind", KINDS)
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
    whole_pair: Running, part: str, number: signal.Signals, kind: str
) -> None:
    """Each text is byte for byte the undisturbed one, with one id, one end and one usage."""
    whole = await _streams(whole_pair, KINDS[kind])
    before = _migrations(whole_pair)
    with _striker(whole_pair, part) as striker:
        found = await _streams(whole_pair, KINDS[kind], lambda: striker.strike(number))
    assert found == whole
    assert all(one.done and len(one.ids) == 1 for one in found)
    # A replica that is only ended may have finished its streams while it drained.
    assert _migrations(whole_pair) > before or number is signal.SIGTERM
