"""The way of a request through both generating endpoints: check, translate, relay or collect."""

import math
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from parley.serving.v1 import model_serving_pb2 as pb
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Send

from gateway import errors, identity, metrics
from gateway.bodies import read_json
from gateway.chunks import Chunks
from gateway.client import ServingClient
from gateway.departure import Departure
from gateway.generation import Generation
from gateway.origin import check_cookie_use
from gateway.replies import Relayed, encoded_reply
from gateway.schemas import GenerationRequest
from gateway.settings import GatewaySettings
from gateway.shapes import Answer, Shape
from gateway.sse import EventStream
from gateway.traces.ended import Ended, Recorder
from gateway.validation import validate
from gateway.whole import collect
from services.rpc.errors import ParleyError

MIGRATIONS_HEADER = "x-parley-migrations"


def new_id() -> str:
    """What is unique in the id of an answer."""
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class Tools:
    """What both endpoints work with. `clock` gives seconds since the epoch."""

    client: ServingClient
    settings: GatewaySettings
    clock: Callable[[], float] = time.time
    make_id: Callable[[], str] = new_id
    traces: Recorder | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One of the two endpoints, and how it answers."""

    kind: type[GenerationRequest]
    translate: Callable[[Any], pb.GenerateRequest]
    names: errors.Names
    shape: Shape
    tools: Tools

    async def answer(self, request: Request) -> Response:
        """Checks a request and answers it. Raises ApiError, or ClientLeft when nobody waits."""
        check_cookie_use(request)
        wanted = validate(self.kind, await read_json(request, self.tools.settings))
        asked = self.translate(wanted)
        answer = Answer(
            self.shape,
            self.tools.make_id(),
            int(self.tools.clock()),
            choices=wanted.n,
            logprobs=asked.logprobs,
        )
        if wanted.stream:
            return Relayed(partial(self._stream, wanted, asked, answer, request))
        return await self._collect(wanted, asked, answer, request)

    async def _stream(
        self,
        wanted: GenerationRequest,
        asked: pb.GenerateRequest,
        answer: Answer,
        request: Request,
        receive: Receive,
        send: Send,
    ) -> None:
        make_chunks = partial(Chunks, answer, include_usage=wanted.include_usage)
        try:
            async with self._generation(wanted, asked, answer, request) as generation:
                stream = EventStream(generation, make_chunks, self.names, self.tools.settings)
                await stream.relay(receive, send)
        except ParleyError as error:
            raise errors.to_api_error(error, self.names) from None

    async def _collect(
        self,
        wanted: GenerationRequest,
        asked: pb.GenerateRequest,
        answer: Answer,
        request: Request,
    ) -> Response:
        opened = self._generation(wanted, asked, answer, request)
        try:
            async with opened as generation, Departure(request.receive):
                reply = encoded_reply(await collect(generation, answer))
                reply.raw_headers.extend(identity.headers(generation.started))
                if generation.migrations:
                    reply.headers[MIGRATIONS_HEADER] = str(len(generation.migrations))
                return reply
        except ParleyError as error:
            raise errors.to_api_error(error, self.names) from None
        except errors.ClientLeft:
            metrics.DISCONNECTS.labels("collecting").inc()
            raise

    @asynccontextmanager
    async def _generation(
        self,
        wanted: GenerationRequest,
        asked: pb.GenerateRequest,
        answer: Answer,
        request: Request,
    ) -> AsyncIterator[Generation]:
        """Lends a generation, and has it traced when it has ended."""
        request_id, traces = request.scope["request_id"], self.tools.traces
        patience_s = None if wanted.stream else _patience_s(request)
        async with self.tools.client.generation(
            asked, request_id, patience_s, wanted.prompt_cache_key
        ) as generation:
            try:
                yield generation
            finally:
                if traces is not None:
                    traces.record(Ended(generation, asked, answer, request_id, wanted.stream))


def _patience_s(request: Request) -> float | None:
    """How long an OpenAI SDK waits for one read, which is the whole of an answer in one piece."""
    try:
        seconds = float(request.headers.get("x-stainless-read-timeout", ""))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds > 0 else None
