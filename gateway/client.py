"""The serving mesh as the facade sees it: generations and the list of models."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from math import inf

import grpc
from parley.serving.v1 import model_serving_pb2 as pb
from parley.serving.v1 import model_serving_pb2_grpc as pb_grpc

from gateway import metrics
from gateway.affinity import Affinity
from gateway.errors import overloaded
from gateway.generation import Generation, Patience
from gateway.settings import GatewaySettings
from gateway.steering import Steering
from services.rpc import errors
from services.rpc.channel import call_metadata

MODELS_DEADLINE_S = 5.0
# A replica holds a handful of versions; more pages than this would be a fault of its paging.
PAGES_MAX = 10
PAGE_SIZE = 1000


class ServingClient:
    """Calls ModelServing on one channel. Safe to share between requests."""

    def __init__(self, channel: grpc.aio.Channel, mesh_key: str, settings: GatewaySettings) -> None:
        self._stub = pb_grpc.ModelServingStub(channel)
        self._mesh_key = mesh_key
        self._settings = settings
        self._affinity = Affinity(settings.affinity_margin, settings.affinity_s, time.monotonic)
        self._open = 0

    @asynccontextmanager
    async def generation(
        self,
        request: pb.GenerateRequest,
        request_id: str,
        deadline_s: float | None = None,
        conversation: str | None = None,
    ) -> AsyncIterator[Generation]:
        """Lends a generation, begun by its `begin` and ended here. Raises ApiError 429 when too
        many are open.

        `deadline_s` may only shorten the setting of that name; `conversation` is the client's key
        of what the request goes on with.
        """
        if self._open >= self._settings.generations_max:
            raise overloaded()
        settings = self._settings
        patience = Patience(
            min(deadline_s or inf, settings.deadline_s),
            settings.retry_s,
            settings.resume_s,
            settings.silence_s,
        )
        steering = Steering(self._affinity, request.model, conversation)
        generation = Generation(
            partial(self._generate, request_id, steering),
            request,
            patience,
            begun=steering.begun,
            keep_text=bool(settings.traces_address) and settings.traces_content,
        )
        self._open += 1
        metrics.GENERATIONS_OPEN.set(self._open)
        try:
            yield generation
        finally:
            try:
                await generation.close()
            finally:
                steering.end()
                self._open -= 1
                metrics.GENERATIONS_OPEN.set(self._open)

    async def list_models(
        self, request_id: str, deadline_s: float = MODELS_DEADLINE_S
    ) -> list[pb.LoadedModel]:
        """The models of a replica. Raises ParleyError, within `deadline_s` for each page."""
        models: list[pb.LoadedModel] = []
        page = pb.ListLoadedModelsResponse()
        for _ in range(PAGES_MAX):
            request = pb.ListLoadedModelsRequest(
                page_size=PAGE_SIZE, page_token=page.next_page_token
            )
            try:
                page = await self._stub.ListLoadedModels(
                    request, timeout=deadline_s, metadata=self._metadata(request_id)
                )
            except grpc.aio.AioRpcError as error:
                raise errors.from_rpc_error(error) from None
            models.extend(page.models)
            if not page.next_page_token:
                break
        return models

    def _generate(
        self, request_id: str, steering: Steering, request: pb.GenerateRequest, timeout_s: float
    ) -> grpc.aio.UnaryStreamCall:
        metadata = (*self._metadata(request_id), *steering.headers(request.model))
        call = self._stub.Generate(request, timeout=timeout_s, metadata=metadata)
        steering.sent(call)
        return call

    def _metadata(self, request_id: str) -> tuple[tuple[str, str], ...]:
        return call_metadata(request_id, self._mesh_key)
