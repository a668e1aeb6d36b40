"""Two real servicers on engines that think, and generations that go from one to the other."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from parley.serving.v1 import model_serving_pb2 as pb

from gateway.generation import Generation, Patience
from services.serving.source import FolderSource
from tests.contract.serving.server import Serving, serve, until
from tests.fakes.model import make_tokenizer
from tests.fakes.thinking import ThinkingEngine

PATIENCE = Patience(deadline_s=20, retry_s=2, resume_s=2, silence_s=5)
# Letters, whole and half characters, a byte that is none, and rarely an end.
PIECES = "abcABC \n{}"
BYTES = "Ãł¼©ðŁĺĢÿ"


@dataclass
class Answer:
    """What a client was given, each choice by itself."""

    started: pb.Started
    ids: list[list[int]]
    texts: list[str]
    logprobs: list[list[float]]
    ends: list[tuple[int, str, int]]
    migrations: list[str] = field(default_factory=list, compare=False)


@dataclass
class Replicas:
    """Replicas that calls go to in turns."""

    serving: list[Serving]
    calls: list[pb.GenerateRequest] = field(default_factory=list)

    @property
    def engines(self) -> list[ThinkingEngine]:
        """Their engines."""
        return [one.engine for one in self.serving]

    def start(self, request: pb.GenerateRequest, timeout_s: float) -> grpc.aio.UnaryStreamCall:
        """Calls the next one."""
        self.calls.append(request)
        serving = self.serving[len(self.calls) % len(self.serving)]
        return serving.stub.Generate(request, timeout=timeout_s)

    async def answer(self, patience: Patience = PATIENCE, **fields: object) -> Answer:
        """Reads one answer to its end."""
        request = pb.GenerateRequest(**{"text": "hi", "choices": 1, **fields})
        generation = Generation(self.start, request, patience)
        try:
            return await _collect(generation, request.choices)
        finally:
            await generation.close()

    async def undisturbed(self, **fields: object) -> Answer:
        """The same without deaths."""
        kept = [engine.deaths for engine in self.engines]
        for engine in self.engines:
            engine.deaths = []
        answer = await self.answer(**fields)
        for engine, deaths in zip(self.engines, kept, strict=True):
            engine.deaths = deaths
        return answer


async def _collect(generation: Generation, choices: int) -> Answer:
    started = await generation.begin()
    answer = Answer(started, *([[] for _ in range(choices)] for _ in range(4)))
    answer.texts = [""] * choices
    answer.ends = [(0, "", 0)] * choices
    while not generation.done:
        event = await generation.read()
        if event.HasField("delta"):
            delta = event.delta
            assert delta.position == len(answer.ids[delta.choice])
            answer.ids[delta.choice] += delta.token_ids
            answer.texts[delta.choice] += delta.text
            answer.logprobs[delta.choice] += [one.logprob for one in delta.logprobs]
        else:
            end = event.finished
            assert answer.ends[end.choice] == (0, "", 0)
            answer.ends[end.choice] = end.reason, end.stop_string, end.usage.completion_tokens
    answer.migrations = generation.migrations
    return answer


def make_engine() -> ThinkingEngine:
    """An engine on the tests' vocabulary."""
    tokenizer = make_tokenizer()
    pieces = [*PIECES.replace(" ", "Ġ").replace("\n", "Ċ"), *BYTES, "aÃ", "hell"]
    return ThinkingEngine(pool=tuple(tokenizer.token_to_id(piece) for piece in pieces))


@asynccontextmanager
async def replicas(folder: Path, sockets: Path, count: int) -> AsyncIterator[Replicas]:
    """Runs so many, ready."""
    async with AsyncExitStack() as stack:
        serving = []
        for index in range(count):
            served = serve(
                sockets / f"{index}.sock",
                FolderSource(folder, ""),
                lambda: 0.0,
                make_engine=make_engine,
            )
            serving.append(await stack.enter_async_context(served))
            await until(lambda: serving[-1].replica.versions)
            serving[-1].engine.become_ready()
        yield Replicas(serving)
