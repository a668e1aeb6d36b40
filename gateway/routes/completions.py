"""POST /v1/completions, as OpenAI's older Completions."""

from fastapi import FastAPI

from gateway.endpoint import Endpoint, Tools
from gateway.routes.plain import PlainRoute
from gateway.schemas import CompletionRequest
from gateway.shapes import COMPLETION
from gateway.translate import COMPLETION_NAMES, completion


def add_to(app: FastAPI, tools: Tools) -> None:
    """Adds the route."""
    endpoint = Endpoint(CompletionRequest, completion, COMPLETION_NAMES, COMPLETION, tools)
    app.router.routes.append(PlainRoute("/v1/completions", endpoint.answer, methods=["POST"]))
