"""/api/v1: every call of the registry, of jobs and of feedback that people and programs make, as
JSON over HTTP. Streams are elsewhere."""

from functools import partial
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from gateway.api.call import REQUEST_ID, Call
from gateway.api.client import ApiClient
from gateway.api.messages import Reader, to_json
from gateway.api.openapi import CALLS, PATH, document
from gateway.api.requests import parameters, principal, request_id
from gateway.bodies import read_json
from gateway.errors import invalid
from gateway.origin import check_cookie_use
from gateway.replies import json_reply
from gateway.settings import GatewaySettings

API_VERSION = "1"


class ApiRoutes:
    """Answers all of them. ParleyError and ApiError are the application's to put into words."""

    def __init__(self, client: ApiClient, settings: GatewaySettings) -> None:
        self._client = client
        self._settings = settings
        self._document = document(API_VERSION)

    def add_to(self, app: FastAPI) -> None:
        """Adds the routes."""
        app.add_api_route(PATH, self.show_document, methods=["GET"])
        for call in CALLS:
            answer = partial(self._answer, call, Reader(call.request_type))
            app.add_api_route(call.path, answer, methods=[call.method])

    async def show_document(self, request: Request) -> Response:
        """The OpenAPI document."""
        check_cookie_use(request)
        return json_reply(self._document)

    async def _answer(self, call: Call, reader: Reader, request: Request) -> Response:
        check_cookie_use(request)
        values = parameters(call, request) | call.fixed
        if call.body:
            values |= await self._body(call, request)
        if call.takes_request_id:
            values[REQUEST_ID] = request_id(values, request)
        told = await self._client.call(
            call.rpc,
            reader.read(values),
            request.scope["request_id"],
            principal(request),
        )
        return json_reply(to_json(told), call.status)

    async def _body(self, call: Call, request: Request) -> dict[str, Any]:
        if call.body_optional and _is_empty(request):
            return {}
        body = await read_json(request, self._settings)
        fields = call.rpc.input_type.fields_by_name
        for name in body:
            if name in fields and name not in call.body:
                raise invalid(
                    f"'{name}' is said by the address, and not in the body.",
                    param=name,
                    code="unknown_field",
                )
        return body


def _is_empty(request: Request) -> bool:
    headers = request.headers
    return headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers
