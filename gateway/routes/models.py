"""GET /v1/models and /v1/models/{id}, from what the mesh has loaded.

A model that is loaded in several versions is one entry, with the version that is nearest to
answering; "name@version" finds each of them.
"""

from typing import Any

from fastapi import FastAPI
from parley.serving.v1 import model_serving_pb2 as pb
from starlette.requests import Request
from starlette.responses import Response

from gateway import errors
from gateway.client import ServingClient
from gateway.replies import json_reply
from services.rpc.errors import ParleyError

# Best first; a failed model answers nothing and is not listed.
_STATES = {
    pb.MODEL_STATE_READY: "ready",
    pb.MODEL_STATE_LOADING: "loading",
    pb.MODEL_STATE_DRAINING: "draining",
}
_RANKS = {state: rank for rank, state in enumerate(_STATES)}
_NAMES = errors.Names(prompt="prompt", tokens_max="max_tokens")


class Models:
    """Answers both routes. `created` is in seconds since the epoch, the same for every model."""

    def __init__(self, client: ServingClient, created: int) -> None:
        self._client = client
        self._created = created

    def add_to(self, app: FastAPI) -> None:
        """Adds both routes."""
        app.add_api_route("/v1/models", self.show_all, methods=["GET"])
        app.add_api_route("/v1/models/{model:path}", self.show, methods=["GET"])

    async def show_all(self, request: Request) -> Response:
        """Every model, sorted by name. Raises ApiError."""
        best: dict[str, pb.LoadedModel] = {}
        for model in await self._loaded(request):
            best.setdefault(model.model, model)
        data = [self._entry(best[name]) for name in sorted(best)]
        return json_reply({"object": "list", "data": data})

    async def show(self, request: Request, model: str) -> Response:
        """One model. Raises ApiError 404."""
        for loaded in await self._loaded(request):
            if model in (loaded.model, f"{loaded.model}@{loaded.version}"):
                return json_reply(self._entry(loaded))
        raise errors.ApiError(
            404,
            errors.INVALID_REQUEST,
            "model_not_found",
            "There is no such model here. GET /v1/models lists those that are.",
            param="model",
        )

    async def _loaded(self, request: Request) -> list[pb.LoadedModel]:
        try:
            models = await self._client.list_models(request.scope["request_id"])
        except ParleyError as error:
            raise errors.to_api_error(error, _NAMES) from None
        listed = [model for model in models if model.state in _STATES]
        return sorted(listed, key=lambda model: _RANKS[model.state])

    def _entry(self, model: pb.LoadedModel) -> dict[str, Any]:
        return {
            "id": model.model,
            "object": "model",
            "created": self._created,
            "owned_by": "parley",
            "parley": {
                "version": model.version,
                "state": _STATES[model.state],
                "context_tokens_max": model.context_tokens_max,
            },
        }
