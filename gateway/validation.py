"""Turns what pydantic finds wrong into OpenAI's words: a param, a code and a message.

A 422, or pydantic's own wording of a union, never reaches a client.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from gateway.errors import ApiError, invalid
from gateway.schemas import Wire

PARAM_CHARS_MAX = 200
_TYPE_ENDINGS = ("_type", "_parsing", "_from_float")

W = TypeVar("W", bound=Wire)


def validate(kind: type[W], body: dict[str, Any]) -> W:
    """The request in `body`. Raises ApiError 400 naming the first parameter that is wrong."""
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        raise _explain(error.errors(include_url=False, include_input=False)[0]) from None


def _explain(problem: Any) -> ApiError:
    param = _path(problem["loc"], problem.get("ctx", {}).get("at", ""))
    match problem["type"]:
        case "extra_forbidden":
            return invalid(f"Unknown parameter: '{param}'.", param=param, code="unknown_parameter")
        case "missing" | "union_tag_not_found":
            message = f"Missing required parameter: '{param}'."
            return invalid(message, param=param, code="missing_required_parameter")
        case "union_tag_invalid":
            return invalid(f"Unknown type of '{param}'.", param=param)
    code = _code(problem["type"])
    if "message" in problem.get("ctx", {}):
        return invalid(problem["msg"], param=param, code=code)
    return invalid(
        f"Invalid value for '{param}': {_worded(problem['msg'])}.", param=param, code=code
    )


def _code(kind: str) -> str:
    if kind in ("unsupported_parameter", "unknown_parameter", "invalid_type"):
        return kind
    return "invalid_type" if kind.endswith(_TYPE_ENDINGS) else "invalid_value"


def _worded(message: str) -> str:
    return message.removeprefix("Input ").removesuffix(".")


def _path(place: Sequence[str | int], below: str) -> str:
    # The second part of a place in response_format is its tag, which no client wrote there.
    steps = [*place[:1], *place[2:]] if place[:1] == ("response_format",) else list(place)
    return ".".join(str(step) for step in (*steps, below) if step != "")[:PARAM_CHARS_MAX]
