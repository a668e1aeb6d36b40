"""POST /v1/chat/completions, as OpenAI's Chat Completions."""

from fastapi import FastAPI

from gateway.endpoint import Endpoint, Tools
from gateway.routes.plain import PlainRoute
from gateway.schemas import ChatRequest
from gateway.shapes import CHAT
from gateway.translate import CHAT_NAMES, chat


def add_to(app: FastAPI, tools: Tools) -> None:
    """Adds the route."""
    endpoint = Endpoint(ChatRequest, chat, CHAT_NAMES, CHAT, tools)
    app.router.routes.append(PlainRoute("/v1/chat/completions", endpoint.answer, methods=["POST"]))
