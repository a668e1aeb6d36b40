"""`./parley bench`: the same model through the whole mesh and in process, in one run.

Every round alternates between the ways, so that a busy machine slows all of them. Uses a stack of
its own in a folder below the home; the running one is left alone, but shares the machine: stop it
for quiet figures.
"""

import asyncio
import contextlib
import dataclasses
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console

from bench import failover, faults, figures, others, stacks
from bench.cost import Meter, per_token_us
from bench.figures import Round, Row, Spread
from bench.in_process import prompt
from bench.streams import GrpcTarget, HttpTarget, Kept, Stream
from services.serving.cores import machine_cores
from stack import up
from stack.home import Home
from stack.plan import Plan, cores_each

IN_PROCESS, MESH = "in process", "mesh"
PROMPT_TOKENS = 64
OVERHEAD_TOKENS = 5


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure. `rate_per_s` above 0 adds an open-loop run at that rate; `replicas` of the
    mesh share the machine."""

    streams: tuple[int, ...] = (1, 16, 32)
    replicas: int = 1
    rounds: int = 3
    tokens: int = 64
    overhead_requests: int = 300
    rate_per_s: float = 0.0
    rate_seconds: float = 20.0
    model_dir: Path | None = None
    transformers: bool = False
    faults: bool = False
    leaves: int = 200
    soak_s: float = 60.0
    kills: int = 4


def deployment(home: Home, *, outage_s: float, as_json: bool) -> int:
    """Promotion, rollback and outages; 1 when a chat failed."""
    from bench.deployment import measure

    console = Console(stderr=True)
    if not home.starter_model.is_dir():
        raise SystemExit("parley: there is no starter model yet: ./parley up makes it")
    console.print(f"Starting a whole Parley; three outages of {outage_s:g} s each")
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as scratch:
        found = measure(Path(scratch), home.starter_model, outage_s)
    if as_json:
        print(json.dumps(dataclasses.asdict(found), indent=2))
    else:
        Console().print(figures.deployment_table(found))
    return int(found.failed or any(one.failed for one in found.outages))


def prefix_caching(home: Home, model_dir: Path | None, *, rounds: int, as_json: bool) -> int:
    """Conversations with and without prefix caching; 1 when an answer differed."""
    from bench import prefix_caching as bench

    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as scratch:
        found = asyncio.run(
            bench.measure(
                model_dir or _bench_model(home, console),
                Path(scratch),
                rounds=rounds,
                console=console,
            )
        )
    if as_json:
        print(json.dumps(dataclasses.asdict(found), indent=2))
    else:
        Console().print(bench.table(found))
    return int(any(found.different.values()))


def overload(home: Home, *, model_dir: Path | None, as_json: bool) -> int:
    """More than the mesh can do; 1 when an answer that was taken on failed."""
    from bench import overload as bench

    console = Console(stderr=True)
    chosen = model_dir or _bench_model(home, console)
    console.print(f"Overloading a mesh for {chosen.name}, in about four minutes")
    with (
        tempfile.TemporaryDirectory(prefix="parley-bench-") as scratch,
        _mesh(Home(Path(scratch)), chosen) as running,
    ):
        found = uvloop.run(
            bench.measure(running, chosen.name, lambda words: console.print(f"  {words}"))
        )
    if as_json:
        print(json.dumps(found.to_json(), indent=2))
    else:
        Console().print(bench.table(found))
    return int(any(level.failed for level in found.levels))


def main(home: Home, options: Options, *, as_json: bool) -> int:
    """Runs everything and prints it; 1 when a request failed."""
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as scratch:
        model_dir = options.model_dir or _bench_model(home, console)
        rows = _throughput(Path(scratch, "mesh"), model_dir, options, console)
        overhead = _overhead(Path(scratch, "paced"), model_dir, options, console)
        found = moved = None
        if options.faults:
            found = _faults(Path(scratch, "faults"), home, options, console)
            moved = _failover(Path(scratch, "failover"), home, options, console)
    if as_json:
        print(json.dumps(figures.to_json(rows, overhead, found, moved), indent=2))
    else:
        out = Console()
        out.print(figures.throughput_table(rows))
        if overhead:
            out.print(figures.overhead_table(overhead))
        if found and moved:
            out.print(figures.faults_table(found, moved))
    return int(any(row.errors for row in rows) or (moved is not None and moved.broken > 0))


def _bench_model(home: Home, console: Console) -> Path:
    """The model of DESIGN's measurements: a Llama shape of 32 M random weights, made once."""
    from training import shapes

    return stacks.random_model(home, "bench-32m", shapes.BENCH_SHAPE, console.print)


def _faults(folder: Path, home: Home, options: Options, console: Console) -> figures.Faults:
    from training import shapes

    model_dir = stacks.random_model(home, "bench-tiny", shapes.TINY_SHAPE, console.print)
    console.print(f"{options.leaves} clients that leave, {options.soak_s:g} s of soak, two kills")
    with _mesh(Home(folder), model_dir) as running:
        target = HttpTarget("127.0.0.1", running.plan.ports.edge, running.api_key, model_dir.name)
        return asyncio.run(
            faults.measure(running, target, leaves=options.leaves, soak_s=options.soak_s)
        )


def _failover(folder: Path, home: Home, options: Options, console: Console) -> figures.Failover:
    from training import shapes

    model_dir = stacks.random_model(home, "bench-tiny", shapes.TINY_SHAPE, console.print)
    console.print(f"Two replicas, and {options.kills} kills under streams")
    with _mesh(Home(folder), model_dir, replicas=2) as running:
        target = HttpTarget("127.0.0.1", running.plan.ports.edge, running.api_key, model_dir.name)
        return asyncio.run(failover.measure(running, target, kills=options.kills))


def _throughput(folder: Path, model_dir: Path, options: Options, console: Console) -> list[Row]:
    console.print(f"Starting a mesh for {model_dir.name}")
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(_mesh(Home(folder), model_dir, replicas=options.replicas))
        meter = Meter(running)
        target = HttpTarget("127.0.0.1", running.plan.ports.edge, running.api_key, model_dir.name)
        engines = stack.enter_context(_InProcess(model_dir, options.replicas))
        mesh = stack.enter_context(contextlib.closing(_Remote(target, Kept())))
        ways: dict[str, Any] = {IN_PROCESS: engines, MESH: mesh}
        if options.replicas > 1:
            ways["in process, one engine"] = stack.enter_context(_InProcess(model_dir, 1))
        if options.transformers:
            other = stack.enter_context(others.transformers_serve(model_dir))
            ways["transformers serve"] = stack.enter_context(contextlib.closing(_Other(other)))
        for name, way in ways.items():
            _, warming = way.round(1, options.tokens)
            if warming[0].error:
                raise SystemExit(f"parley: {name}: {warming[0].error}")
        rows = []
        for streams in options.streams:
            console.print(f"{streams} streams, {options.rounds} rounds of each way")
            rows += _rounds(ways, streams, options, meter)
        if options.rate_per_s:
            rows.append(_open_loop(target, options))
        return rows


def _rounds(ways: dict[str, Any], streams: int, options: Options, meter: Meter) -> list[Row]:
    found: dict[str, list[Round]] = {name: [] for name in ways}
    spent_s: Counter[str] = Counter()
    for _ in range(options.rounds):
        for name, way in ways.items():
            before = meter.read()
            found[name].append(way.round(streams, options.tokens))
            if name == MESH:
                spent_s += meter.read() - before
    base = found[IN_PROCESS]
    rows = [figures.row(name, streams, rounds, base) for name, rounds in found.items()]
    tokens = sum(stream.tokens for _, answers in found[MESH] for stream in answers)
    cost_us = per_token_us(spent_s, tokens)
    return [dataclasses.replace(r, cost_us=cost_us) if r.what == MESH else r for r in rows]


class _InProcess:
    """Engines alone, each behind a pipe that says only when to begin and what came of it. They
    share the machine's cores as so many replicas do."""

    def __init__(self, model_dir: Path, engines: int) -> None:
        share = cores_each(machine_cores(), engines)
        self._command = [sys.executable, "-m", "bench.in_process", str(model_dir), str(share)]
        self._count = engines
        self._asked = 0

    def __enter__(self) -> "_InProcess":
        self._engines = [
            subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for _ in range(self._count)
        ]
        for engine in self._engines:
            engine.stdout.readline()  # type: ignore[union-attr]
        return self

    def __exit__(self, *_: object) -> None:
        for engine in self._engines:
            engine.stdin.close()  # type: ignore[union-attr]
            engine.wait()

    def round(self, streams: int, tokens: int) -> Round:
        """One batch, dealt out evenly, to the end of the last engine. An engine's tokens are put
        on one stream, as their times are not kept."""
        asked = self._engines[:streams]
        for index, engine in enumerate(asked):
            mine = len(range(index, streams, self._count))
            request = json.dumps([self._asked, mine, PROMPT_TOKENS, tokens])
            self._asked += mine
            engine.stdin.write(request + "\n")  # type: ignore[union-attr]
            engine.stdin.flush()  # type: ignore[union-attr]
        told = [json.loads(engine.stdout.readline()) for engine in asked]  # type: ignore[union-attr]
        found = [Stream(0.0, [first_s], sampled) for sampled, _, first_s in told]
        return max(seconds for _, seconds, _ in told), found


class _Remote:
    """A server that is already there. With `kept`, connections stay from round to round: a client
    whose own work is small measures the server. Close it at the end."""

    def __init__(self, target: HttpTarget, kept: Kept | None = None) -> None:
        self._target = target
        self._kept = kept
        self._asked = 0
        # One loop for all rounds, since connections belong to theirs.
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)

    def close(self) -> None:
        """Closes its connections."""
        if self._kept is not None:
            self._kept.close()
        self._runner.close()

    def round(self, streams: int, tokens: int) -> Round:
        """All streams at once, to the end of the last. No prompt is asked twice: some servers keep
        what they computed for one."""
        first, self._asked = self._asked, self._asked + streams

        async def all_streams() -> Round:
            began_s = time.perf_counter()
            found = await asyncio.gather(
                *(
                    self._target.stream(prompt(first + index, PROMPT_TOKENS), tokens, self._kept)
                    for index in range(streams)
                )
            )
            return time.perf_counter() - began_s, list(found)

        return self._runner.run(all_streams())


class _Other:
    """A server that sleeps between its rounds, in which its connections would end, and that says
    the end of an answer by theirs."""

    def __init__(self, other: others.Other) -> None:
        self._other = other
        self._remote = _Remote(other.target)

    def close(self) -> None:
        """As `_Remote`."""
        self._remote.close()

    def round(self, streams: int, tokens: int) -> Round:
        """As `_Remote`."""
        with self._other.awake():
            return self._remote.round(streams, tokens)


def _open_loop(target: HttpTarget, options: Options) -> Row:
    """Requests come by a Poisson process, whether or not earlier ones are done."""
    chance = random.Random(0)

    async def arrive() -> Round:
        began_s = time.perf_counter()
        tasks = []
        while time.perf_counter() - began_s < options.rate_seconds:
            ids = prompt(len(tasks), PROMPT_TOKENS)
            tasks.append(asyncio.create_task(target.stream(ids, options.tokens)))
            await asyncio.sleep(chance.expovariate(options.rate_per_s))
        found = await asyncio.gather(*tasks)
        return time.perf_counter() - began_s, list(found)

    seconds, found = asyncio.run(arrive())
    return figures.row(f"mesh, open loop {options.rate_per_s:g}/s", len(found), [(seconds, found)])


def _overhead(
    folder: Path, model_dir: Path, options: Options, console: Console
) -> dict[str, dict[str, Spread]]:
    if not options.overhead_requests:
        return {}
    console.print(f"Overhead against a paced engine, {options.overhead_requests} requests a way")
    home = Home(folder)
    with _mesh(home, model_dir, "bench.paced_replica") as running:
        return asyncio.run(_ways_in_turn(running, options.overhead_requests))


async def _ways_in_turn(running: up.Running, requests: int) -> dict[str, dict[str, Spread]]:
    home, ports = running.plan.home, running.plan.ports
    direct = GrpcTarget(f"unix:{home.socket('serving-0')}")
    mesh = GrpcTarget(running.mesh_address, running.api_key)
    ways = {
        "direct gRPC": direct,
        "Envoy mesh listener": mesh,
        "facade + Envoy mesh": HttpTarget(
            "127.0.0.1", ports.edge, running.api_key, "paced", socket=str(home.socket("gateway"))
        ),
        "Envoy edge + facade + Envoy mesh": HttpTarget(
            "127.0.0.1", ports.edge, running.api_key, "paced"
        ),
    }
    found: dict[str, list[Stream]] = {name: [] for name in ways}
    for number in range(requests + 1):
        for name, way in ways.items():
            stream = await way.stream(prompt(number, PROMPT_TOKENS), OVERHEAD_TOKENS)
            if stream.error:
                raise SystemExit(f"parley: {name}: {stream.error}")
            if number:  # the first of each way opens its connections
                found[name].append(stream)
    await direct.close()
    await mesh.close()
    return {
        name: {
            "first_token": figures.spread([s.first_s for s in streams]),
            "inter_token": figures.spread([gap for s in streams for gap in s.gaps_s]),
        }
        for name, streams in found.items()
    }


def _mesh(
    home: Home, model_dir: Path, replica_module: str = "", replicas: int = 1
) -> AbstractContextManager[up.Running]:
    """A whole mesh of its own, or one with another program in the replica's place."""

    def change(planned: Plan) -> Plan:
        if not replica_module:
            return planned
        program = planned.program("serving-0")
        command = (sys.executable, "-m", replica_module)
        return planned.with_program(dataclasses.replace(program, command=command))

    return stacks.serving(home, model_dir, replicas=replicas, change=change)
