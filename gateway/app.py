"""The facade as an ASGI application: which routes there are, and how every failure is answered."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import grpc
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from gateway import errors, problems
from gateway.api.call import ROOT
from gateway.api.client import ApiClient
from gateway.client import ServingClient
from gateway.endpoint import Tools, new_id
from gateway.envelope import Envelope
from gateway.replies import error_reply
from gateway.routes import chat, completions, health, page
from gateway.routes.api import ApiRoutes
from gateway.routes.login import Login
from gateway.routes.models import Models
from gateway.routes.streams import StreamRoutes
from gateway.settings import GatewaySettings
from gateway.traces.ended import Recorder
from services.rpc.errors import ParleyError
from services.rpc.settings import secret

_NOWHERE = "There is nothing at this address."
_METHOD = "This address does not take this method."


def create_app(
    settings: GatewaySettings,
    channel: grpc.aio.Channel,
    *,
    clock: Callable[[], float] = time.time,
    make_id: Callable[[], str] = new_id,
    traces: Recorder | None = None,
    stopping: asyncio.Event | None = None,
) -> Envelope:
    """The application on a channel to the mesh, which stays the caller's to close.

    `clock` gives seconds since the epoch, `make_id` what is unique in ids of answers; `traces`
    takes generations that have ended, and stays the caller's to close; `stopping` is set when the
    facade drains. Raises ValueError or OSError
    when a secret's file is missing or open to others.
    """
    mesh_key = secret(settings.mesh_key_file)
    client = ServingClient(channel, mesh_key, settings)
    tools = Tools(client, settings, clock, make_id, traces)
    app = FastAPI(openapi_url=None, redirect_slashes=False)
    chat.add_to(app, tools)
    completions.add_to(app, tools)
    Models(client, int(clock())).add_to(app)
    api = ApiClient(channel, mesh_key)
    ApiRoutes(api, settings).add_to(app)
    StreamRoutes(api, settings, stopping or asyncio.Event()).add_to(app)
    health.add_to(app, client)
    Login(settings, secret(settings.page_key_file)).add_to(app)
    page.add_to(app, settings.chat_dir)
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)
    return Envelope(app)


async def _api_error(request: Request, error: errors.ApiError) -> Response:
    """In OpenAI's shape, and below /api as a problem."""
    if request.url.path.startswith(f"{ROOT}/"):
        return problems.of_api_error(error).reply(request.scope["request_id"])
    return error_reply(error)


async def _service_error(request: Request, error: ParleyError) -> Response:
    return problems.of_service(error).reply(request.scope["request_id"])


async def _http_error(request: Request, error: HTTPException) -> Response:
    message = {404: _NOWHERE, 405: _METHOD}.get(error.status_code, error.detail)
    code = {404: "unknown_url", 405: "method_not_allowed"}.get(error.status_code)
    told = errors.ApiError(error.status_code, errors.INVALID_REQUEST, code, message)
    reply = await _api_error(request, told)
    reply.headers.update(error.headers or {})
    return reply


async def _client_left(request: Request, error: Exception) -> Response:
    # Nobody reads it; the status is for the metrics.
    return Response(status_code=499)


async def _unexpected(request: Request, error: Exception) -> Response:
    return await _api_error(request, errors.unexpected())


_HANDLERS: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
    errors.ApiError: _api_error,
    ParleyError: _service_error,
    HTTPException: _http_error,
    errors.ClientLeft: _client_left,
    ClientDisconnect: _client_left,
    Exception: _unexpected,
}
