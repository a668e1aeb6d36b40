"""/api/v1: every call of the registry that people and programs make, as JSON over HTTP."""

import uuid
from functools import partial
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from gateway.bodies import read_json
from gateway.errors import invalid
from gateway.origin import check_cookie_use
from gateway.registry.calls import CALLS, REQUEST_ID, Call
from gateway.registry.client import CLIENT_HEADER, RegistryClient
from gateway.registry.json_schema import is_integer
from gateway.registry.messages import Reader, to_json
from gateway.registry.openapi import IDEMPOTENCY_KEY, PATH, document
from gateway.replies import json_reply
from gateway.settings import GatewaySettings

API_VERSION = "1"


class RegistryRoutes:
    """Answers all of them. ParleyError and ApiError are the application's to put into words."""

    def __init__(self, client: RegistryClient, settings: GatewaySettings) -> None:
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
        values = _parameters(call, request)
        if call.body:
            values |= await self._body(call, request)
        if call.takes_request_id:
            values[REQUEST_ID] = _request_id(values, request)
        told = await self._client.call(
            call.rpc,
            reader.read(values),
            request.scope["request_id"],
            request.headers.get(CLIENT_HEADER, ""),
        )
        return json_reply(to_json(told), call.status)

    async def _body(self, call: Call, request: Request) -> dict[str, Any]:
        body = await read_json(request, self._settings)
        fields = call.descriptor.input_type.fields_by_name
        for name in body:
            if name in fields and name not in call.body:
                raise invalid(
                    f"'{name}' is said by the address, and not in the body.",
                    param=name,
                    code="unknown_field",
                )
        return body


def _parameters(call: Call, request: Request) -> dict[str, Any]:
    """Fields that path and query fill. Raises ApiError 400 for a parameter that is not known."""
    given: dict[str, str] = dict(request.path_params)
    for name, value in request.query_params.multi_items():
        if name not in call.query or name in given:
            known = ", ".join(call.query) or "none"
            raise invalid(
                f"Unknown parameter, or given twice: '{name[:64]}'. There are: {known}.",
                param=name[:64],
                code="unknown_field",
            )
        given[name] = value
    fields = call.descriptor.input_type.fields_by_name
    values: dict[str, Any] = {}
    for name, value in given.items():
        field = fields[call.field_of(name)]
        number = is_integer(field) and value.isascii() and value.isdecimal()
        values[field.name] = int(value[:20]) if number else value
    return values


def _request_id(values: dict[str, Any], request: Request) -> Any:
    """The header's, the body's, or a new one. Raises ApiError 400 when the two differ."""
    header, said = request.headers.get(IDEMPOTENCY_KEY), values.get(REQUEST_ID)
    if header and said and header != said:
        raise invalid(
            f"{IDEMPOTENCY_KEY} and {REQUEST_ID} differ. One of them is enough.", param=REQUEST_ID
        )
    return header or said or str(uuid.uuid4())
