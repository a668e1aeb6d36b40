"""One run: a stack of its own, what it says undisturbed, then clients and faults until the time is
up. Writes the history; what it proves is the checker's.
"""

import asyncio
import contextlib
import dataclasses
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from bench import stacks
from bench.chaos import proxy
from bench.chaos.history import Recorder, Rotation, Run, Struck, Told
from bench.chaos.schedule import PROXIED, Blow, Fault, plan_blows
from bench.chaos.striker import Striker, migrations, missing_programs, until_whole
from bench.chaos.workload import Question, draws, questions
from bench.rotation import POLL_S, Envoy
from bench.streams import HttpTarget
from bench.transcripts import Transcript, fetch
from stack import ports
from stack.environment.places import Places
from stack.errors import StackError
from stack.home import Home
from stack.plan import DRAIN_S, Plan, Probe
from stack.ports import LOOPBACK
from stack.readiness import ask
from stack.up import Running

UNDISTURBED_AT_ONCE = 16
TCP_FROM = 8200
WELL_WITHIN_S = 90.0
# A client that was refused comes again, but not at once.
AFTER_ERROR_S = 0.2
# Envoy asks each second; an engine that is back before that was never away for it.
ENGINE_KNOWN_S = 2.5
Say = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Options:
    """What to run. `seconds` is how long faults strike."""

    seconds: float = 120.0
    seed: int = 0
    replicas: int = 3
    streams: int = 32
    faults: tuple[Fault, ...] = (Fault.KILL, Fault.TERM, Fault.STOP, Fault.BLACKHOLE)


@dataclass(slots=True)
class Progress:
    """Where a run is, for those who watch it."""

    seconds: float
    blows: int
    struck: int = 0
    streams: int = 0
    broken: int = 0
    migrations: int = 0
    at_s: float = 0.0

    def words(self) -> str:
        """One line."""
        return (
            f"{max(self.seconds - self.at_s, 0):.0f} s left: {self.struck} of {self.blows} faults, "
            f"{self.streams} streams, {self.broken} broken, {self.migrations} migrations"
        )


@contextlib.contextmanager
def stack_for(
    home: Home, model_dir: Path, options: Options
) -> Iterator[tuple[Running, proxy.ProxyThread | None]]:
    """A stack in `home`; with proxies in front of its replicas where a fault needs them."""
    if not PROXIED & set(options.faults):
        with stacks.serving(home, model_dir, replicas=options.replicas) as running:
            yield running, None
        return
    with contextlib.ExitStack() as opened:
        proxies: list[proxy.ProxyThread] = []

        def change(plan: Plan) -> Plan:
            # Not before: a start begins with clearing away all sockets that there are.
            behind = _addresses(plan)
            found = [(name, f"unix:{plan.home.socket(name)}", behind[name]) for name in behind]
            proxies.append(opened.enter_context(proxy.opened(found)))
            return behind_proxies(plan, behind)

        running = opened.enter_context(
            stacks.serving(home, model_dir, replicas=options.replicas, change=change)
        )
        yield running, proxies[0]


def run(
    running: Running,
    proxies: proxy.ProxyThread | None,
    options: Options,
    file: TextIO,
    say: Say,
    show: Callable[[Progress], object] = lambda _: None,
) -> Recorder:
    """Runs it all on a stack, and writes the history to `file`.

    Raises StackError where the stack lacks a program that is to be struck, or is not well to begin
    with.
    """
    if missing := missing_programs(running, options.faults):
        raise StackError(
            f"This stack has no {missing[0]} to strike.", mend="Leave it out of --faults."
        )
    return asyncio.run(_Run(running, proxies, options, file, say, show).whole())


class _Run:
    def __init__(
        self,
        running: Running,
        proxies: proxy.ProxyThread | None,
        options: Options,
        file: TextIO,
        say: Say,
        show: Callable[[Progress], object],
    ) -> None:
        plan = running.plan
        self._running, self._options, self._say, self._show = running, options, say, show
        self._striker = Striker(running, proxies)
        self._envoy = Envoy.of(running)
        self._blows = plan_blows(options.faults, options.seconds, plan.replicas(), options.seed)
        model = plan.model_dir.name if plan.model_dir else ""
        self._target = HttpTarget(LOOPBACK, plan.ports.edge, running.api_key, model)
        self._questions = questions(options.seed, model)
        self._began_s, began_at = time.perf_counter(), time.time()
        self._recorder = Recorder(file, self._first_line(began_at))
        self._progress = Progress(options.seconds, len(self._blows))
        self._until_s = 0.0

    def _first_line(self, began_at: float) -> Run:
        options = self._options
        return Run(
            options.seed,
            options.replicas,
            options.streams,
            tuple(options.faults),
            options.seconds,
            began_at,
            DRAIN_S,
            Places.find().version(),
            f"{platform.machine()}, {platform.system()} {platform.release()}",
            tuple(dataclasses.asdict(blow) for blow in self._blows),
        )

    async def whole(self) -> Recorder:
        """Everything, one after the other."""
        try:
            if not await self._until_whole():
                raise StackError("The stack was not whole before the first fault.")
            await self._undisturbed()
            watching = asyncio.create_task(self._watch())
            try:
                await self._disturbed()
            finally:
                watching.cancel()
        finally:
            self._striker.close()
            await self._envoy.close()
            run = self._recorder.history.run
            for noticed in migrations(self._running.plan.home.log("gateway"), run.began_at):
                self._recorder.add(noticed)
        return self._recorder

    async def _undisturbed(self) -> None:
        self._say(f"Asking {len(self._questions)} questions of the undisturbed stack")
        free = asyncio.Semaphore(UNDISTURBED_AT_ONCE)

        async def one(question: Question) -> None:
            async with free:
                await self._ask(-1, question)

        await asyncio.gather(*(one(question) for question in self._questions))
        if wrong := [told.error for told in self._recorder.history.told if told.error]:
            raise StackError(f"The undisturbed stack failed to answer: {wrong[0]}")

    async def _disturbed(self) -> None:
        options = self._options
        self._say(f"{options.streams} streams, {len(self._blows)} faults, seed {options.seed}")
        began_s = self._now_s()
        self._until_s = began_s + options.seconds
        async with asyncio.TaskGroup() as group:
            for client in range(options.streams):
                group.create_task(self._client(client))
            for number, blow in enumerate(self._blows):
                await asyncio.sleep(max(began_s + blow.at_s - self._now_s(), 0))
                await self._strike(number, blow)
                if self._now_s() > self._until_s:
                    break

    async def _client(self, client: int) -> None:
        for question in draws(self._options.seed, client, self._questions):
            if self._now_s() >= self._until_s:
                return
            told = await self._ask(client, question)
            self._progress.streams += 1
            self._progress.broken += bool(told.error)
            self._progress.migrations += told.migrations
            if told.error:
                await asyncio.sleep(AFTER_ERROR_S)

    async def _ask(self, client: int, question: Question) -> Transcript:
        told = await fetch(self._target, question.body)
        self._recorder.add(self._told(client, question, told))
        return told

    def _told(self, client: int, question: Question, told: Transcript) -> Told:
        choices = sorted(told.texts)
        return Told(
            client,
            question.number,
            question.kind,
            self._since(told.sent_s),
            self._since(told.ended_s),
            None if told.first_s is None else round(told.first_s - told.sent_s, 4),
            tuple(told.texts[choice] for choice in choices),
            tuple(told.finishes.get(choice, "") for choice in choices),
            tuple(told.tokens),
            told.ids,
            told.usage and told.usage["completion_tokens"],
            told.migrations,
            round(told.stall_s, 4),
            self._since(told.stall_at_s) if told.stall_s else 0.0,
            told.error,
            told.done,
        )

    async def _strike(self, number: int, blow: Blow) -> None:
        pid = (await asyncio.to_thread(self._striker.pids))[blow.program]
        if not pid:
            self._say(f"{blow.program} does not run, so that nothing can strike it")
            return
        at_s = self._now_s()
        self._striker.strike(blow, pid)
        self._progress.struck += 1
        try:
            await asyncio.sleep(blow.hold_s)
        finally:
            self._striker.lift(blow)
        lifted_s = self._now_s()
        # What was struck must be seen to be away before it can be seen to be back.
        await self._until_noticed(blow, pid)
        is_well = await self._until_whole() and await self._until_ready(blow.program)
        well_s = self._now_s() if is_well else None
        self._recorder.add(Struck(number, blow.fault, blow.program, at_s, lifted_s, well_s))
        took = "never well again" if well_s is None else f"well after {well_s - lifted_s:.1f} s"
        self._say(f"{at_s:6.1f} s  {blow.fault} of {blow.program}: {took}")

    async def _until_noticed(self, blow: Blow, pid: int) -> None:
        """Waits until a process that is to end has ended, or until Envoy knows of an engine's end;
        other faults are known by the time that they are taken back."""
        if blow.fault in PROXIED or blow.fault is Fault.STOP:
            return
        engine = blow.fault is Fault.ENGINE
        until_s = self._now_s() + (ENGINE_KNOWN_S if engine else DRAIN_S * 2)
        while self._now_s() < until_s:
            if engine:
                if await self._envoy.healthy() < self._options.replicas:
                    return
            elif (await asyncio.to_thread(self._striker.pids))[blow.program] != pid:
                return
            await asyncio.sleep(POLL_S)

    async def _until_whole(self) -> bool:
        replicas = self._options.replicas
        return await until_whole(self._envoy, self._striker, replicas, WELL_WITHIN_S)

    async def _until_ready(self, program: str) -> bool:
        """Waits until a program answers again: that it runs is too little."""
        until_s = self._now_s() + WELL_WITHIN_S
        for probe in self._running.plan.program(program).probes:
            while await asyncio.to_thread(ask, probe):
                if self._now_s() > until_s:
                    return False
                await asyncio.sleep(POLL_S)
        return True

    async def _watch(self) -> None:
        """Notes how many replicas Envoy calls, whenever that changes, and shows the progress."""
        last = -1
        while True:
            healthy = await self._envoy.healthy()
            if healthy != last:
                self._recorder.add(Rotation(self._now_s(), healthy))
                last = healthy
            self._progress.at_s = self._now_s() - self._until_s + self._options.seconds
            self._show(self._progress)
            await asyncio.sleep(POLL_S)

    def _now_s(self) -> float:
        return self._since(time.perf_counter())

    def _since(self, at_s: float) -> float:
        return round(at_s - self._began_s, 4)


def _addresses(plan: Plan) -> dict[str, str]:
    """A loopback port for each replica."""
    picked: list[int] = []
    for _ in plan.replicas():
        picked.append(ports.next_free(TCP_FROM, picked))
    return {name: f"{LOOPBACK}:{port}" for name, port in zip(plan.replicas(), picked, strict=True)}


def behind_proxies(plan: Plan, behind: dict[str, str]) -> Plan:
    """Has replicas listen on TCP; whoever looks for them finds the proxies at their sockets."""
    for name, address in behind.items():
        known = f"unix:{plan.home.socket(name)}"
        told = {"PARLEY_SERVING_ADDRESS": address, "PARLEY_SERVING_ADVERTISE": known}
        plan = stacks.told(plan, name, told)
        program = dataclasses.replace(
            plan.program(name), probes=(Probe("grpc", address, waiting="loading the model"),)
        )
        plan = plan.with_program(program)
    return plan
