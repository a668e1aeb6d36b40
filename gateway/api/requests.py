"""What an HTTP request says of a call's fields: its path, its query, its headers."""

import uuid
from typing import Any

from starlette.requests import Request

from gateway.api.call import REQUEST_ID, Call
from gateway.api.client import CLIENT_HEADER
from gateway.api.json_schema import is_integer
from gateway.errors import invalid

IDEMPOTENCY_KEY = "Idempotency-Key"


def parameters(call: Call, request: Request) -> dict[str, Any]:
    """Fields that path and query fill. Raises ApiError 400 for a parameter that is not known."""
    fields = call.rpc.input_type.fields_by_name
    values: dict[str, Any] = {}
    for name, text in [*request.path_params.items(), *request.query_params.multi_items()]:
        field = fields[call.field_of(name)] if name in (*call.parameters, *call.query) else None
        if field is None or (field.name in values and not field.is_repeated):
            known = ", ".join(call.query) or "none"
            raise invalid(
                f"Unknown parameter, or given twice: '{name[:64]}'. There are: {known}.",
                param=name[:64],
                code="unknown_field",
            )
        number = is_integer(field) and text.isascii() and text.isdecimal()
        value = int(text[:20]) if number else text
        values[field.name] = [*values.get(field.name, ()), value] if field.is_repeated else value
    return values


def request_id(values: dict[str, Any], request: Request) -> Any:
    """The header's, the body's, or a new one. Raises ApiError 400 when the two differ."""
    header, said = request.headers.get(IDEMPOTENCY_KEY), values.get(REQUEST_ID)
    if header and said and header != said:
        raise invalid(
            f"{IDEMPOTENCY_KEY} and {REQUEST_ID} differ. One of them is enough.", param=REQUEST_ID
        )
    return header or said or str(uuid.uuid4())


def principal(request: Request) -> str:
    """The name of the client whose key the edge accepted; empty when nobody said."""
    return request.headers.get(CLIENT_HEADER, "")
