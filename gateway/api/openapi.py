"""The OpenAPI document of /api/v1 and of what generates, made from the tables of calls, the
contracts and the schemas.

What it says is what is served: requests are checked against the same schemas.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from gateway.api import generating, jobs, registry
from gateway.api.call import REQUEST_ID, ROOT, Call
from gateway.api.json_schema import PREFIX, of_field, schemas
from gateway.api.requests import IDEMPOTENCY_KEY
from gateway.problems import PROBLEM_JSON
from gateway.replies import JSON

PATH = f"{ROOT}/openapi.json"
_TEXT = {"type": "string"}
_PROBLEM = {
    "type": "object",
    "description": "A problem as RFC 9457 has it.",
    "properties": {
        "type": {**_TEXT, "format": "uri"},
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": _TEXT,
        "reason": {**_TEXT, "pattern": "^[A-Z][A-Z0-9_]*$"},
        "request_id": _TEXT,
        "field": _TEXT,
    },
    "required": ["type", "title", "status", "detail", "reason", "request_id"],
}


CALLS: Sequence[Call] = (*registry.CALLS, *jobs.CALLS)


def document(version: str) -> dict[str, Any]:
    """The whole document, as of `version`."""
    requests = [call.rpc.input_type for call in CALLS]
    responses = [call.rpc.output_type for call in (*CALLS, *jobs.STREAMS)]
    # A request's fields are spread over path, query and body, so it has no schema of its own.
    asked = {one.name for one in requests}
    named = {name: one for name, one in schemas(requests, responses).items() if name not in asked}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Parley's answers, models, jobs and feedback", "version": version},
        "paths": _paths(),
        "security": [{"bearer": []}, {"key": []}, {"page": []}],
        "components": {
            "schemas": {**named, **generating.components(), "Problem": _PROBLEM},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                "page": {"type": "apiKey", "in": "cookie", "name": "parley_session"},
            },
        },
    }


def _paths() -> dict[str, Any]:
    itself = {
        "operationId": "GetOpenApi",
        "summary": "Gets this document.",
        "responses": {"200": _content("OK", {"type": "object"})},
    }
    paths: dict[str, Any] = {PATH: {"get": itself}, **generating.paths()}
    for call in (*CALLS, *jobs.STREAMS):
        paths.setdefault(call.path, {})[call.method.lower()] = _operation(call)
    return paths


def _operation(call: Call) -> dict[str, Any]:
    answer: dict[str, Any] = {"$ref": PREFIX + call.rpc.output_type.name}
    if call.answer_kind != JSON:
        answer = {"type": "string", "description": call.answer}
    operation: dict[str, Any] = {
        "operationId": call.operation_id,
        "summary": call.summary,
        "parameters": _parameters(call),
        "responses": {
            str(call.status): _content(HTTPStatus(call.status).phrase, answer, call.answer_kind),
            "default": _content("A problem", {"$ref": f"{PREFIX}Problem"}, PROBLEM_JSON),
        },
    }
    if call.body_kind != JSON:
        schema: dict[str, Any] = {"type": "string", "format": "binary"}
        operation["requestBody"] = {
            "required": True,
            "content": {call.body_kind: {"schema": schema}},
        }
    elif call.body:
        operation["requestBody"] = _body(call)
    return operation


def _body(call: Call) -> dict[str, Any]:
    fields = call.rpc.input_type.fields_by_name
    schema = {
        "type": "object",
        "properties": {name: of_field(fields[name]) for name in call.body},
        "additionalProperties": False,
    }
    return {"required": not call.body_optional, "content": {JSON: {"schema": schema}}}


def _parameters(call: Call) -> list[dict[str, Any]]:
    fields = call.rpc.input_type.fields_by_name

    def parameter(name: str, place: str) -> dict[str, Any]:
        schema = of_field(fields[call.field_of(name)])
        needed = place == "path" or name in call.needed
        return {"name": name, "in": place, "required": needed, "schema": schema}

    found = [parameter(name, "path") for name in call.parameters]
    found += [parameter(name, "query") for name in call.query]
    found += [
        {"name": name, "in": "header", "required": False, "schema": {"type": "string"}}
        for name in call.headers
    ]
    if call.takes_request_id:
        found.append(
            {
                "name": IDEMPOTENCY_KEY,
                "in": "header",
                "required": False,
                "description": f"The {REQUEST_ID}; one is made where there is none.",
                "schema": of_field(fields[REQUEST_ID]),
            }
        )
    return found


def _content(description: str, schema: dict[str, Any], kind: str = JSON) -> Any:
    return {"description": description, "content": {kind: {"schema": schema}}}
