"""The two generating endpoints as OpenAPI has them, made from the schemas that check their bodies.

Their answers are OpenAI's own, and are described there.
"""

from typing import Any

from gateway.replies import JSON
from gateway.schemas import ChatRequest, CompletionRequest, Message, Wire

# Messages of the contract have names of their own.
_PREFIX = "OpenAI."
_REFERENCE = "#/components/schemas/" + _PREFIX
_ERROR = f"{_PREFIX}Error"
_EVENTS = "text/event-stream"
_TEXT = {"type": "string"}
_TEXT_OR_NULL = {"type": ["string", "null"]}
_ENDPOINTS: dict[str, tuple[str, str, type[Wire]]] = {
    "/v1/chat/completions": ("CreateChatCompletion", "Answers a conversation.", ChatRequest),
    "/v1/completions": ("CreateCompletion", "Goes on with a prompt.", CompletionRequest),
}


def paths() -> dict[str, Any]:
    """The paths with their operations."""
    return {path: {"post": _operation(*about)} for path, about in _ENDPOINTS.items()}


def components() -> dict[str, Any]:
    """The schemas that the operations refer to, by name."""
    found: dict[str, Any] = {_ERROR: _error()}
    for _, _, kind in _ENDPOINTS.values():
        schema = kind.model_json_schema(ref_template=_REFERENCE + "{model}")
        found |= {_PREFIX + name: one for name, one in schema.pop("$defs", {}).items()}
        found[_PREFIX + kind.__name__] = schema
    for kind in (ChatRequest, CompletionRequest, Message):
        idle = {name: _idle(values) for name, values in kind.idle.items()}
        found[_PREFIX + kind.__name__]["properties"] |= idle
    return found


def _operation(operation_id: str, summary: str, kind: type[Wire]) -> dict[str, Any]:
    answer = {"type": "object", "description": "As OpenAI's reference has it."}
    events = {**_TEXT, "description": "With 'stream': chunks of it, as server-sent events."}
    asked = {"$ref": _REFERENCE + kind.__name__}
    failed = {"$ref": f"#/components/schemas/{_ERROR}"}
    return {
        "operationId": operation_id,
        "summary": summary,
        "requestBody": {"required": True, "content": {JSON: {"schema": asked}}},
        "responses": {
            "200": {
                "description": "OK",
                "content": {JSON: {"schema": answer}, _EVENTS: {"schema": events}},
            },
            "default": {"description": "An error", "content": {JSON: {"schema": failed}}},
        },
    }


def _idle(values: tuple[Any, ...]) -> dict[str, Any]:
    return {
        "enum": [*values, None],
        "description": "Known, but not honoured: only what asks for nothing is taken.",
    }


def _error() -> dict[str, Any]:
    told = {"message": _TEXT, "type": _TEXT, "param": _TEXT_OR_NULL, "code": _TEXT_OR_NULL}
    inside = {"type": "object", "properties": told, "required": list(told)}
    return {"type": "object", "properties": {"error": inside}, "required": ["error"]}
