"""parley.serving.v1.ModelServing: proto to domain and back."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import replace
from typing import Any, TypeVar

import grpc
from parley.serving.v1 import model_serving_pb2 as pb
from parley.serving.v1 import model_serving_pb2_grpc as pb_grpc

from services.rpc.durations import to_duration
from services.rpc.errors import Unavailable
from services.serving import formats
from services.serving.ask import Ask, Delta, Event, Finished, Started
from services.serving.engine import CHOSEN_BY, Format, Sampling
from services.serving.listing import PAGE_SIZE, page, to_loaded_model
from services.serving.loaded import Loaded
from services.serving.mirror import Mirror
from services.serving.prompts import Prompts
from services.serving.replica import Replica
from services.serving.routing import Choice
from services.serving.vocabulary import Vocabulary

T = TypeVar("T")

ROLES = {
    pb.CHAT_ROLE_SYSTEM: "system",
    pb.CHAT_ROLE_USER: "user",
    pb.CHAT_ROLE_ASSISTANT: "assistant",
}
REASONS = {"stop": pb.FINISH_REASON_STOP, "length": pb.FINISH_REASON_LENGTH}
# Larger requests, and formats to compile, are read on a thread: on the event loop they would hold
# up every stream for longer than a step takes.
INLINE_BYTES_MAX = 4096
# The engine needs the other cores.
READERS = 2
# Set by the mesh's proxies, which remove what a caller sends under this name.
VERSION_KEY = "x-parley-version"
SERVICE = pb.DESCRIPTOR.services_by_name["ModelServing"].full_name


class Servicer(pb_grpc.ModelServingServicer):
    """Answers from one replica. `chance` gives numbers from 0 to below 1, to spread traffic by."""

    def __init__(self, replica: Replica, chance: Callable[[], float] = random.random) -> None:
        self._replica = replica
        self._chance = chance
        self._mirror = Mirror()
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="reader")

    async def Generate(
        self, request: pb.GenerateRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.GenerateResponse]:
        """Streams one to eight answers."""
        pinned = find_pinned(context)
        choice = self._replica.choose(request.model, self._chance(), pinned)
        loaded = self._replica.versions[choice.key]
        if loaded.engine.failed:
            raise Unavailable(
                "This replica's engine keeps ending; another replica may answer.",
                reason="ENGINE_DIED",
                retry_after_s=5,
            )
        if not request.resume_token_ids:
            # Before the prompt is read, which costs most where it is wanted least.
            loaded.admission.check(request.choices or 1)
        with loaded.hold():
            ask = await self._read(request, loaded)
            async with aclosing(loaded.generations.generate(ask)) as events:
                async for event in events:
                    if isinstance(event, Started):
                        self._copy(request, choice, loaded)
                    yield _to_response(event, loaded, choice.table.revision, self._replica.name)

    async def CountTokens(
        self, request: pb.CountTokensRequest, context: grpc.aio.ServicerContext
    ) -> pb.CountTokensResponse:
        """Counts a prompt's tokens."""
        pinned = find_pinned(context)
        choice = self._replica.choose(request.model, self._chance(), pinned)
        loaded = self._replica.versions[choice.key]
        heavy = request.ByteSize() > INLINE_BYTES_MAX
        ids = await self._run(heavy, _encode, request, loaded.prompts)
        context_tokens_max = loaded.model.context_tokens_max
        return pb.CountTokensResponse(
            prompt_tokens=len(ids),
            # Generate would refuse longer ones, and they may not fit into a message.
            token_ids=ids if len(ids) < context_tokens_max else [],
            context_tokens_max=context_tokens_max,
        )

    async def ListLoadedModels(
        self, request: pb.ListLoadedModelsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListLoadedModelsResponse:
        """Lists what this replica holds."""
        models, next_page_token = page(
            self._replica.report(), request.page_size or PAGE_SIZE, request.page_token
        )
        return pb.ListLoadedModelsResponse(
            models=[to_loaded_model(report) for report in models], next_page_token=next_page_token
        )

    async def _read(self, request: pb.GenerateRequest, loaded: Loaded) -> Ask:
        heavy = request.HasField("output_format") or request.ByteSize() > INLINE_BYTES_MAX
        return await self._run(heavy, _to_ask, request, loaded.prompts, loaded.model.sampling)

    async def _run(self, heavy: bool, work: Callable[..., T], *arguments: Any) -> T:
        if not heavy:
            return work(*arguments)
        return await asyncio.get_running_loop().run_in_executor(self._readers, work, *arguments)

    def _copy(self, request: pb.GenerateRequest, choice: Choice, original: Loaded) -> None:
        mirror = self._replica.mirror(choice)
        # The tokens of an answer that is resumed are another version's.
        if mirror is not None and mirror is not original and not request.resume_token_ids:
            self._mirror.offer(original, mirror, lambda: self._read(request, mirror))


def find_pinned(context: grpc.aio.ServicerContext) -> str:
    """The version that a proxy has chosen for this request, empty for none."""
    metadata = context.invocation_metadata() or ()
    return next((str(value) for key, value in metadata if key == VERSION_KEY), "")


def _to_response(event: Event, loaded: Loaded, revision: int, replica: str) -> pb.GenerateResponse:
    if isinstance(event, Delta):
        return pb.GenerateResponse(delta=_to_delta(event, loaded.prompts.vocabulary))
    if isinstance(event, Started):
        version = loaded.version
        return pb.GenerateResponse(
            started=pb.Started(
                model=version.key.model,
                version=version.key.version,
                prompt_tokens=event.prompt_tokens,
                repeatable=event.repeatable,
                digest=version.key.digest,
                run_id=version.run_id,
                dataset_digest=version.dataset_digest,
                revision=revision,
                replica=replica,
            )
        )
    return pb.GenerateResponse(finished=_to_finished(event))


def _to_delta(event: Delta, vocabulary: Vocabulary) -> pb.Delta:
    delta = pb.Delta(
        choice=event.choice, position=event.position, token_ids=event.token_ids, text=event.text
    )
    if event.logprobs:
        tokens = event.tokens or [vocabulary.token_bytes(one) for one in event.token_ids]
        for token, logprob in zip(tokens, event.logprobs, strict=True):
            delta.logprobs.add(logprob=logprob, token=token)
    return delta


def _to_finished(event: Finished) -> pb.Finished:
    return pb.Finished(
        choice=event.choice,
        reason=REASONS[event.reason],
        stop_string=event.stop_string,
        usage=pb.Usage(
            prompt_tokens=event.prompt_tokens, completion_tokens=event.completion_tokens
        ),
        timings=pb.Timings(
            queue_duration=to_duration(event.queue_s),
            first_token_duration=to_duration(event.first_token_s),
            total_duration=to_duration(event.total_s),
        ),
    )


def _to_ask(request: pb.GenerateRequest, prompts: Prompts, defaults: Sampling) -> Ask:
    sampling, stopping = request.sampling, request.stopping
    given = {name: getattr(sampling, name) for name in CHOSEN_BY if sampling.HasField(name)}
    return Ask(
        prompt_ids=_encode(request, prompts),
        sampling=replace(defaults, **given),
        seed=sampling.seed if sampling.HasField("seed") else None,
        choices=request.choices or 1,
        tokens_max=stopping.tokens_max if stopping.HasField("tokens_max") else None,
        stop_strings=tuple(stopping.stop_strings),
        ignore_end=stopping.ignore_end,
        format=_to_format(request.output_format),
        logprobs=request.logprobs,
        resume_ids=tuple(request.resume_token_ids),
    )


def _to_format(wanted: pb.OutputFormat) -> Format | None:
    match wanted.WhichOneof("format"):
        case "json_schema":
            return formats.schema_format(wanted.json_schema)
        case "regex":
            return formats.regex_format(wanted.regex)
        case "json_object":
            return formats.JSON_OBJECT_FORMAT
    return None


def _encode(request: pb.GenerateRequest | pb.CountTokensRequest, prompts: Prompts) -> list[int]:
    match request.WhichOneof("prompt"):
        case "conversation":
            return prompts.encode_conversation(
                [
                    (ROLES[message.role], message.content)
                    for message in request.conversation.messages
                ]
            )
        case "text":
            return prompts.encode_text(request.text)
    return list(request.tokens.ids)
