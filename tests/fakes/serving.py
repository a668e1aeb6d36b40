"""A ModelServing whose answers are scripted, and which keeps the contract's rules.

It stops at tokens_max and at stop strings, numbers its tokens, goes on behind tokens that a caller
holds, refuses models that it does not have, and counts what callers did. It runs behind the real
interceptor, so its errors look as a replica's do. A "token" is one of the script's pieces of bytes.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import grpc
from google.protobuf.duration_pb2 import Duration
from parley.serving.v1 import model_serving_pb2 as pb
from parley.serving.v1 import model_serving_pb2_grpc as pb_grpc

from services.rpc import errors
from services.rpc.server import Server
from services.rpc.settings import ServerSettings
from tests.fakes.feedback_service import FakeFeedback
from tests.fakes.jobs_service import FakeJobs
from tests.fakes.registry_service import FakeRegistry

MODEL = "parley-starter"
VERSION = "0123456789ab"
CONTEXT_TOKENS_MAX = 1000
HELLO = (b"Hello", b", ", b"wor", b"ld", b"!")


@dataclass
class Script:
    """What the next calls do. Events that are None never hold anything up."""

    tokens: Sequence[bytes] = HELLO
    # What Started says beside the prompt's tokens.
    started: pb.Started = field(default_factory=lambda: pb.Started(model=MODEL, version=VERSION))
    # Raised one by one, a call each, before Started.
    refusals: list[errors.ParleyError] = field(default_factory=list)
    # The same, after `admit`.
    refusals_admitted: list[errors.ParleyError] = field(default_factory=list)
    # Waited for before Started, and before the token of that position.
    admit: asyncio.Event | None = None
    resume: asyncio.Event | None = None
    resume_at: int = 0
    # The tokens of choices that are sampled with a seed of these.
    by_seed: dict[int, Sequence[bytes]] = field(default_factory=dict)
    # Raised at the token of that position; with no error the stream just ends there.
    dies_at: int | None = None
    dies_of: errors.ParleyError | None = None
    # How many calls die so; one more goes through.
    deaths_max: int = 1_000_000
    # Where the next calls stop to say anything, one each.
    freezes_at: list[int] = field(default_factory=list)
    # Left out of the numbering, so that a gap shows.
    skips_at: int | None = None
    # What a resumed call adds to its positions.
    resumes_off: int = 0
    # What resumptions say in place of `started`, are refused with before it, one each.
    started_later: list[pb.Started] = field(default_factory=list)
    refusals_later: list[errors.ParleyError] = field(default_factory=list)
    # Whether an answer that is made again gets other tokens.
    wrong_again: bool = False
    # Waited for after the last Finished, before the status.
    linger: asyncio.Event | None = None
    models: Sequence[pb.LoadedModel] = (
        pb.LoadedModel(
            model=MODEL,
            version=VERSION,
            state=pb.MODEL_STATE_READY,
            context_tokens_max=CONTEXT_TOKENS_MAX,
        ),
    )


@dataclass
class Seen:
    """What callers did. `changed` is notified at each of it."""

    requests: list[pb.GenerateRequest] = field(default_factory=list)
    metadata: list[dict[str, str]] = field(default_factory=list)
    deadlines_s: list[float] = field(default_factory=list)
    sent: int = 0
    cancelled: int = 0
    ended: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until(self, wanted: str, count: int = 1, wait_s: float = 5.0) -> None:
        """Waits until a count is reached, or fails with TimeoutError."""
        async with asyncio.timeout(wait_s), self.changed:
            await self.changed.wait_for(lambda: self.count(wanted) >= count)

    def count(self, what: str) -> int:
        """A count, or the length of a list."""
        value = getattr(self, what)
        return value if isinstance(value, int) else len(value)

    async def add(self, what: str) -> None:
        """Counts one more."""
        async with self.changed:
            setattr(self, what, getattr(self, what) + 1)
            self.changed.notify_all()


class FakeServing(pb_grpc.ModelServingServicer):
    """Follows `script`, and notes in `seen`."""

    def __init__(self) -> None:
        self.script = Script()
        self.seen = Seen()

    async def Generate(
        self, request: pb.GenerateRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.GenerateResponse]:
        """Streams the script's tokens for every choice, in turns."""
        try:
            await self._note(request, context)
            await self._admit(request)
            started = pb.Started(prompt_tokens=_prompt_tokens(request))
            later = self.script.started_later if _is_later(request) else []
            started.MergeFrom(later.pop(0) if later else self.script.started)
            yield pb.GenerateResponse(started=started)
            async for event in self._events(request):
                yield event
                await self.seen.add("sent")
            if self.script.linger is not None:
                await self.script.linger.wait()
            await self.seen.add("ended")
        except asyncio.CancelledError:
            await asyncio.shield(self.seen.add("cancelled"))
            raise

    async def ListLoadedModels(
        self, request: pb.ListLoadedModelsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListLoadedModelsResponse:
        """One model a page, so that callers must page."""
        first = int(request.page_token or 0)
        rest = len(self.script.models) > first + 1
        return pb.ListLoadedModelsResponse(
            models=self.script.models[first : first + 1],
            next_page_token=str(first + 1) if rest else "",
        )

    async def _note(self, request: pb.GenerateRequest, context: grpc.aio.ServicerContext) -> None:
        async with self.seen.changed:
            self.seen.requests.append(request)
            self.seen.metadata.append(dict(context.invocation_metadata() or ()))
            self.seen.deadlines_s.append(context.time_remaining() or float("inf"))
            self.seen.changed.notify_all()

    async def _admit(self, request: pb.GenerateRequest) -> None:
        if self.script.refusals:
            raise self.script.refusals.pop(0)
        if self.script.refusals_later and _is_later(request):
            raise self.script.refusals_later.pop(0)
        if request.model not in ("", MODEL, f"{MODEL}@{VERSION}"):
            raise errors.NotFound(
                f"There is no model {request.model!r} here.", reason="MODEL_NOT_FOUND"
            )
        if _prompt_tokens(request) > CONTEXT_TOKENS_MAX:
            raise errors.InvalidArgument(
                f"The prompt is longer than {CONTEXT_TOKENS_MAX} tokens.",
                reason="CONTEXT_LENGTH_EXCEEDED",
                metadata={"context_tokens_max": str(CONTEXT_TOKENS_MAX)},
            )
        if self.script.admit is not None:
            await self.script.admit.wait()
        if self.script.refusals_admitted:
            raise self.script.refusals_admitted.pop(0)

    async def _events(self, request: pb.GenerateRequest) -> AsyncIterator[pb.GenerateResponse]:
        script, held = self.script, len(request.resume_token_ids)
        freezes_at = script.freezes_at.pop(0) if script.freezes_at else None
        choices = [_Choice(index, request, script) for index in range(request.choices or 1)]
        for position in range(held, max(len(choice.script) for choice in choices)):
            await self._pause(position)
            if position == freezes_at:
                await asyncio.Event().wait()
            if position == script.dies_at and script.deaths_max:
                script.deaths_max -= 1
                if script.dies_of is not None:
                    raise script.dies_of
                return
            shown = position + (1 if position == script.skips_at else 0)
            for choice in choices:
                for event in choice.take(position, shown + (script.resumes_off if held else 0)):
                    yield event
        for choice in choices:
            for event in choice.end(pb.FINISH_REASON_STOP):
                yield event

    async def _pause(self, position: int) -> None:
        if self.script.resume is not None and position == self.script.resume_at:
            await self.script.resume.wait()


class _Choice:
    """One answer as it grows: text waits for whole characters and possible stop strings."""

    def __init__(self, index: int, request: pb.GenerateRequest, script: Script) -> None:
        self.script = script.by_seed.get(request.sampling.seed + index, script.tokens)
        self._index = index
        self._request = request
        self._stops = [stop.encode() for stop in request.stopping.stop_strings]
        self._data = b""
        self._shown = 0
        self._tokens = 0
        self._done = False
        self._wrong = 100 if script.wrong_again and _is_later(request) else 0
        for token in self.script[: len(request.resume_token_ids)]:
            self._data += token
            self._tokens += 1
            self._text(final=False)

    def take(self, position: int, shown: int) -> list[pb.GenerateResponse]:
        if self._done:
            return []
        if position >= len(self.script):
            return self.end(pb.FINISH_REASON_STOP)
        token = self.script[position]
        self._id = position + self._wrong
        self._data += token
        self._tokens += 1
        stop = next((stop for stop in self._stops if stop in self._data), None)
        if stop is not None:
            self._data = self._data[: self._data.index(stop)]
        events = [self._delta(token, shown, final=stop is not None)]
        if stop is not None:
            return events + self.end(pb.FINISH_REASON_STOP, stop.decode())
        if self._tokens == self._request.stopping.tokens_max:
            return events + self.end(pb.FINISH_REASON_LENGTH)
        return events

    def end(self, reason: int, stop: str = "") -> list[pb.GenerateResponse]:
        if self._done:
            return []
        self._done = True
        if not stop and self._tokens == self._request.stopping.tokens_max:
            reason = pb.FINISH_REASON_LENGTH
        finished = pb.Finished(
            choice=self._index,
            reason=reason,
            stop_string=stop,
            usage=pb.Usage(
                prompt_tokens=_prompt_tokens(self._request), completion_tokens=self._tokens
            ),
            timings=pb.Timings(
                queue_duration=Duration(nanos=2_000_000),
                first_token_duration=Duration(nanos=10_000_000),
                total_duration=Duration(nanos=52_000_000),
            ),
        )
        return [pb.GenerateResponse(finished=finished)]

    def _delta(self, token: bytes, position: int, final: bool) -> pb.GenerateResponse:
        delta = pb.Delta(
            choice=self._index, position=position, token_ids=[self._id], text=self._text(final)
        )
        if self._request.logprobs:
            delta.logprobs.add(logprob=-0.5, token=token)
        return pb.GenerateResponse(delta=delta)

    def _text(self, final: bool) -> str:
        end = len(self._data) if final else len(self._data) - self._held_back()
        new = self._data[self._shown : end]
        text = new.decode(errors="ignore")
        self._shown += len(text.encode())
        return text

    def _held_back(self) -> int:
        """Bytes at the end that may begin a stop string."""
        lengths = (
            size
            for stop in self._stops
            for size in range(len(stop) - 1, 0, -1)
            if self._data.endswith(stop[:size])
        )
        return max(lengths, default=0)


def _is_later(request: pb.GenerateRequest) -> bool:
    """Whether it goes on with what was begun: it names the version."""
    return "@" in request.model


def _prompt_tokens(request: pb.GenerateRequest) -> int:
    if request.HasField("tokens"):
        return len(request.tokens.ids)
    texts = [request.text, *(message.content for message in request.conversation.messages)]
    return sum(len(text.split()) for text in texts)


async def start(
    address: str, serving: FakeServing, *services: FakeRegistry | FakeJobs | FakeFeedback
) -> Server:
    """Runs `serving`, and other services as if through the same mesh, at `address` behind Parley's
    own server and interceptor."""
    server = Server(ServerSettings(address=address), ["parley.serving.v1.ModelServing"])
    pb_grpc.add_ModelServingServicer_to_server(serving, server.grpc)
    for service in services:
        service.add_to(server.grpc)
    await server.start()
    return server
