"""GET /v1/models and /v1/models/{id}, from what the mesh has loaded.

Whatever a request may ask for is one entry: each name, with the version that is nearest to
answering, each "name@alias", and each "name@version".
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
# Names that a refusal lists; past these it says that there are more.
NAMES_MAX = 20
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
        """All that a request may name, sorted. Raises ApiError."""
        found = await self._named(request)
        data = [self._entry(name, found[name]) for name in sorted(found)]
        return json_reply({"object": "list", "data": data})

    async def show(self, request: Request, model: str) -> Response:
        """What one name stands for. Raises ApiError 404 that says which there are."""
        found = await self._named(request)
        if model in found:
            return json_reply(self._entry(model, found[model]))
        raise errors.ApiError(
            404,
            errors.INVALID_REQUEST,
            "model_not_found",
            f"There is no such model here. {_there_are(sorted(found))}",
            param="model",
        )

    async def _named(self, request: Request) -> dict[str, pb.LoadedModel]:
        """Each name that a request may give, with the loaded version that is best for it."""
        try:
            models = await self._client.list_models(request.scope["request_id"])
        except ParleyError as error:
            raise errors.to_api_error(error, _NAMES) from None
        listed = [model for model in models if model.state in _STATES]
        best: dict[str, pb.LoadedModel] = {}
        for model in sorted(listed, key=lambda model: _RANKS[model.state]):
            for name in _names(model):
                best.setdefault(name, model)
        return best

    def _entry(self, name: str, model: pb.LoadedModel) -> dict[str, Any]:
        return {
            "id": name,
            "object": "model",
            "created": self._created,
            "owned_by": "parley",
            "parley": {
                "version": model.version,
                "state": _STATES[model.state],
                "context_tokens_max": model.context_tokens_max,
            },
        }


def _names(model: pb.LoadedModel) -> list[str]:
    versions = [model.version, *model.aliases]
    return [model.model, *(f"{model.model}@{version}" for version in versions)]


def _there_are(names: list[str]) -> str:
    if not names:
        return "There is none yet; ./parley models list shows what could be served."
    more = ", and more: GET /v1/models lists all" if len(names) > NAMES_MAX else ""
    return f"There are: {', '.join(names[:NAMES_MAX])}{more}."
