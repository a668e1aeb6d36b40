"""Prefix caching on and off: conversations on two replicas that differ in nothing else.

Both replicas run, and are asked in turn, so that a busy machine slows both. A turn's prompt is all
turns before it and a new question, as ids of ordinary tokens; both get the same prompts, so that
their greedy answers can be compared token by token. An answer that differs is counted, not hidden:
one that depends on what was cached could not be resumed on another replica.
"""

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc
from parley.serving.v1 import model_serving_pb2 as pb
from parley.serving.v1 import model_serving_pb2_grpc as pb_grpc
from rich.console import Console
from rich.table import Table

from bench.streams import TIMEOUT_S
from services.rpc.channel import CLIENT_OPTIONS
from stack.environment.places import ROOT

READY_S = 120.0
# A system prompt, then questions and answers, in tokens: ten turns fit a context of 2,048.
SYSTEM_TOKENS, QUESTION_TOKENS, ANSWER_TOKENS, TURNS = 256, 96, 64, 10
TOGETHER = 8
RESUMED_AT = (1, 17, 40)
# Random weights often say the same to different prompts, but not as probably.
LOGPROB_TOLERANCE = 1e-3
WAYS = ("off", "on")


@dataclass(frozen=True, slots=True)
class Answer:
    """One greedy answer; times in seconds from the request."""

    ids: list[int]
    logprobs: list[float]
    first_s: float
    total_s: float

    @property
    def tokens_per_s(self) -> float:
        """Its speed behind the first message."""
        return (len(self.ids) - 1) / max(self.total_s - self.first_s, 1e-9)


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation that has the replica to itself: medians of all rounds."""

    prompt_tokens: int
    first_ms: dict[str, float]
    tokens_per_s: dict[str, float]


@dataclass(frozen=True, slots=True)
class PrefixCaching:
    """What was found; dicts have a value for each of `WAYS`.

    `together_*` are of so many conversations at once, `compared` counts pairs of answers whose
    tokens were compared, by what was done, and `different` those that were not equal.
    """

    model: str
    turns: tuple[Turn, ...]
    together: int
    together_tokens_per_s: dict[str, float]
    together_first_ms: dict[str, float]
    memory_mib: dict[str, tuple[int, int]]
    compared: dict[str, int]
    different: dict[str, int]


@dataclass(frozen=True, slots=True)
class Replica:
    """A replica's process, and a client of it."""

    process: psutil.Popen
    stub: pb_grpc.ModelServingStub

    async def ask(
        self, prompt: Sequence[int], tokens: int = ANSWER_TOKENS, held: Sequence[int] = ()
    ) -> Answer:
        """Asks for so many tokens, those that are `held` included."""
        request = pb.GenerateRequest(
            tokens=pb.TokenIds(ids=prompt),
            sampling=pb.Sampling(temperature=0),
            stopping=pb.Stopping(tokens_max=tokens, ignore_end=True),
            resume_token_ids=held,
            logprobs=True,
        )
        began_s = time.perf_counter()
        first_s, ids, logprobs = 0.0, [], []
        async for event in self.stub.Generate(request, timeout=TIMEOUT_S):
            if event.HasField("delta"):
                first_s = first_s or time.perf_counter() - began_s
                ids += event.delta.token_ids
                logprobs += [one.logprob for one in event.delta.logprobs]
        return Answer(ids, logprobs, first_s, time.perf_counter() - began_s)

    def memory_mib(self) -> int:
        """Resident MiB of its engine."""
        (engine,) = self.process.children()
        return engine.memory_info().rss >> 20


class Comparison:
    """Asks both replicas the same, and counts."""

    def __init__(self, replicas: dict[str, Replica]) -> None:
        self.replicas = replicas
        self.compared: dict[str, int] = {}
        self.different: dict[str, int] = {}
        self._swap = False

    async def ask(self, what: str, prompt: list[int]) -> dict[str, Answer]:
        """One answer of each; who goes first changes each time."""
        self._swap = not self._swap
        found = {}
        for way in reversed(WAYS) if self._swap else WAYS:
            found[way] = await self.replicas[way].ask(prompt)
        self.compare(what, found["off"], found["on"])
        return found

    def compare(self, what: str, one: Answer, other: Answer) -> None:
        """Counts a pair, and whether it differs. A resumed one is compared as far as it goes."""
        same = one.ids[-len(other.ids) :] == other.ids and all(
            abs(a - b) < LOGPROB_TOLERANCE
            for a, b in zip(one.logprobs[-len(other.ids) :], other.logprobs, strict=True)
        )
        self.compared[what] = self.compared.get(what, 0) + 1
        self.different[what] = self.different.get(what, 0) + (not same)


async def measure(model_dir: Path, folder: Path, *, rounds: int, console: Console) -> PrefixCaching:
    """Runs all of it; the replicas' sockets and logs go to `folder`."""
    async with AsyncExitStack() as stack:
        replicas = {
            way: await stack.enter_async_context(_replica(model_dir, folder, way)) for way in WAYS
        }
        before = {way: replica.memory_mib() for way, replica in replicas.items()}
        comparison = Comparison(replicas)
        console.print(f"{rounds} conversations of {TURNS} turns, alone")
        alone = [await _conversation(comparison, number) for number in range(rounds)]
        console.print(f"{TOGETHER} conversations at once")
        speeds, firsts = await _together(comparison, [one[-1][0] for one in alone])
        after = {way: replica.memory_mib() for way, replica in replicas.items()}
    return PrefixCaching(
        model_dir.name,
        tuple(_turn([one[number] for one in alone]) for number in range(TURNS)),
        TOGETHER,
        speeds,
        firsts,
        {way: (before[way], after[way]) for way in WAYS},
        comparison.compared,
        comparison.different,
    )


Asked = tuple[list[int], dict[str, Answer]]


async def _conversation(comparison: Comparison, number: int) -> list[Asked]:
    """Each turn's prompt and answers; then what was cached is put to the test by resumptions."""
    prompt = _tokens(number, SYSTEM_TOKENS)
    turns: list[Asked] = []
    for turn in range(TURNS):
        prompt = prompt + _tokens(number + 31 * turn + 7, QUESTION_TOKENS)
        found = await comparison.ask("alone", prompt)
        turns.append((prompt, found))
        prompt = prompt + found["off"].ids
    last, found = turns[-1]
    whole = found["off"]
    for cut in RESUMED_AT:
        for way in WAYS:
            resumed = await comparison.replicas[way].ask(last, held=whole.ids[:cut])
            comparison.compare("resumed", whole, resumed)
    return turns


async def _together(
    comparison: Comparison, known: list[list[int]]
) -> tuple[dict[str, float], dict[str, float]]:
    """Conversations at once that share their system prompt: tokens a second, and the median first
    token in ms behind the first turn. Each answer is compared with the one given alone."""
    speeds, firsts = {}, {}
    answers: dict[str, list[list[Answer]]] = {}
    for way in WAYS:
        began_s = time.perf_counter()
        asks = [_talk(comparison.replicas[way], index) for index in range(TOGETHER)]
        answers[way] = await asyncio.gather(*asks)
        seconds = time.perf_counter() - began_s
        tokens = sum(len(one.ids) for turns in answers[way] for one in turns)
        speeds[way] = round(tokens / seconds, 1)
        later = [one.first_s for turns in answers[way] for one in turns[1:]]
        firsts[way] = round(statistics.median(later) * 1000, 1)
    for off, on in zip(answers["off"], answers["on"], strict=True):
        for one, other in zip(off, on, strict=True):
            comparison.compare("at once", one, other)
    for prompt in known:
        # What was cached long ago, among others.
        asks = [comparison.replicas["on"].ask(prompt[: len(prompt) - cut]) for cut in range(4)]
        expected = [comparison.replicas["off"].ask(prompt[: len(prompt) - cut]) for cut in range(4)]
        for one, other in zip(await asyncio.gather(*asks), expected, strict=True):
            comparison.compare("asked again at once", await other, one)
    return speeds, firsts


async def _talk(replica: Replica, index: int) -> list[Answer]:
    prompt = _tokens(1000, SYSTEM_TOKENS)
    answers = []
    for turn in range(TURNS):
        prompt = prompt + _tokens(2000 + 17 * index + 31 * turn, QUESTION_TOKENS)
        answers.append(await replica.ask(prompt))
        prompt = prompt + answers[-1].ids
    return answers


def _tokens(seed: int, count: int) -> list[int]:
    """Ids of ordinary tokens, others for each seed."""
    return [
        300 + (97 * seed + 13 * place + place * place * (seed % 7 + 1)) % 700
        for place in range(count)
    ]


def _turn(found: list[Asked]) -> Turn:
    def median(way: str, value: str) -> float:
        return statistics.median(getattr(answers[way], value) for _, answers in found)

    return Turn(
        len(found[0][0]),
        {way: round(median(way, "first_s") * 1000, 1) for way in WAYS},
        {way: round(median(way, "tokens_per_s"), 1) for way in WAYS},
    )


@asynccontextmanager
async def _replica(model_dir: Path, folder: Path, way: str) -> AsyncIterator[Replica]:
    """Runs a replica until the block ends. Raises SystemExit when it does not get ready."""
    address = f"unix:{folder}/{way}.sock"
    told = {"ADDRESS": address, "MODEL_DIR": str(model_dir), "PREFIX_CACHING": str(way == "on")}
    process = _start(told, folder / f"{way}.log")
    try:
        async with grpc.aio.insecure_channel(address, options=CLIENT_OPTIONS) as channel:
            await _until_serving(health_pb2_grpc.HealthStub(channel))
            yield Replica(process, pb_grpc.ModelServingStub(channel))
    finally:
        process.terminate()
        process.wait(READY_S)


def _start(told: dict[str, str], log: Path) -> psutil.Popen:
    with log.open("wb") as out:
        return psutil.Popen(
            [sys.executable, "-m", "services.serving"],
            env={f"PARLEY_SERVING_{name}": value for name, value in told.items()},
            cwd=ROOT,
            stdout=out,
            stderr=subprocess.STDOUT,
        )


async def _until_serving(health: health_pb2_grpc.HealthStub) -> None:
    asked = health_pb2.HealthCheckRequest(service="parley.serving.v1.ModelServing")
    async with asyncio.timeout(READY_S):
        async for answer in health.Watch(asked, wait_for_ready=True, timeout=READY_S):
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                return


def table(found: PrefixCaching) -> Table:
    """All of it, for people."""
    table = Table(title=f"Prefix caching off and on, {found.model}, {len(found.turns)} turns")
    table.add_column("")
    for name in ("first token ms\noff", "on", "tokens/s\noff", "on"):
        table.add_column(name, justify="right")
    for number, turn in enumerate(found.turns, 1):
        cells = [f"{value:.1f}" for value in turn.first_ms.values()]
        cells += [f"{value:,.0f}" for value in turn.tokens_per_s.values()]
        table.add_row(f"turn {number}, {turn.prompt_tokens} tokens", *cells)
    cells = [f"{value:.1f}" for value in found.together_first_ms.values()]
    cells += [f"{value:,.0f}" for value in found.together_tokens_per_s.values()]
    table.add_row(f"{found.together} conversations at once, in all", *cells)
    table.add_section()
    memory = [f"{before} / {after}" for before, after in found.memory_mib.values()]
    table.add_row("engine's memory before and after, MiB", *memory)
    for what, count in found.compared.items():
        table.add_row(f"{count} answers {what}, of which differ", "", str(found.different[what]))
    return table
