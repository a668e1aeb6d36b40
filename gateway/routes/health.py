"""GET /healthz: 200 while this process runs; the body says how far the mesh behind it is."""

from fastapi import FastAPI
from parley.serving.v1 import model_serving_pb2 as pb
from starlette.requests import Request
from starlette.responses import Response

from gateway.client import ServingClient
from gateway.replies import json_reply
from services.rpc.errors import ParleyError

MESH_DEADLINE_S = 1.0


def add_to(app: FastAPI, client: ServingClient) -> None:
    """Adds the route."""

    async def answer(request: Request) -> Response:
        mesh = await _mesh_state(client, request.scope["request_id"])
        return json_reply({"status": "ok", "mesh": mesh})

    app.add_api_route("/healthz", answer, methods=["GET", "HEAD"])


async def _mesh_state(client: ServingClient, request_id: str) -> str:
    """ "ready" with a model that answers, "loading" without one yet, else "unreachable"."""
    try:
        models = await client.list_models(request_id, MESH_DEADLINE_S)
    except ParleyError:
        return "unreachable"
    ready = any(model.state == pb.MODEL_STATE_READY for model in models)
    return "ready" if ready else "loading"
