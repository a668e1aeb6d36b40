"""Reading a request's body within its bounds, and JSON out of it, strictly.

Refuses what the parser of pydantic refuses: text that is not UTF-8, lone surrogates, NaN and
Infinity, and depth beyond 200. Knows no parameter.
"""

import asyncio
from typing import Any

from pydantic_core import from_json
from starlette.requests import Request

from gateway.errors import INVALID_REQUEST, ApiError, invalid
from gateway.settings import GatewaySettings


async def read_json(request: Request, settings: GatewaySettings) -> dict[str, Any]:
    """The JSON object in the body. Raises ApiError: 400, 408, 413 or 415."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ApiError(
            415,
            INVALID_REQUEST,
            "unsupported_media_type",
            "Send the body as JSON, with the header Content-Type: application/json.",
        )
    return parse_json(await read(request, settings.body_bytes_max, settings.body_s))


async def read(request: Request, bytes_max: int, wait_s: float) -> bytes:
    """The whole body, of at most `bytes_max`. Raises ApiError 413 or, after `wait_s`, 408."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > bytes_max:
        raise too_large(bytes_max)
    body = bytearray()
    try:
        async with asyncio.timeout(wait_s):
            async for piece in request.stream():
                body += piece
                if len(body) > bytes_max:
                    raise too_large(bytes_max)
    except TimeoutError:
        raise too_slow(wait_s) from None
    return bytes(body)


def parse_json(body: bytes) -> dict[str, Any]:
    """Reads a JSON object. Raises ApiError 400 that says where it broke."""
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise invalid(
            f"The body is not JSON that can be read: {error}.", code="invalid_json"
        ) from None
    if not isinstance(value, dict):
        raise invalid("The body must be a JSON object.", code="invalid_json")
    return value


def too_slow(wait_s: float) -> ApiError:
    """What a client is told whose bytes do not come."""
    return ApiError(
        408,
        INVALID_REQUEST,
        "request_timeout",
        f"The body did not arrive within {wait_s:g} s. Send it again.",
    )


def too_large(bytes_max: int) -> ApiError:
    """What a client is told whose bytes are too many."""
    return ApiError(
        413,
        INVALID_REQUEST,
        "request_too_large",
        f"The body is larger than {bytes_max} bytes. Send less at a time.",
    )
