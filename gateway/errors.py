"""From a gRPC status to an HTTP status and OpenAI's error object: one table, used everywhere.

Knows neither routes nor how a reply is sent. Words that did not come from a Parley service never
reach a client: a proxy's or gRPC's own text is replaced by the table's.
"""

import json
from dataclasses import dataclass
from typing import Any

from grpc import StatusCode

from services.rpc.errors import ParleyError, is_ours

INVALID_REQUEST = "invalid_request_error"
RATE_LIMIT = "rate_limit_error"
SERVER_ERROR = "server_error"
# A client that is told nothing else comes back after this.
RETRY_AFTER_S_DEFAULT = 1.0


class ApiError(Exception):
    """A refusal or failure in the words of the OpenAI wire.

    `retry_after_s`, where set, becomes Retry-After; `retry` False tells SDKs not to repeat by
    themselves what would only fail, or cost, again.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        code: str | None,
        message: str,
        *,
        param: str | None = None,
        retry_after_s: float | None = None,
        retry: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.code = code
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s
        self.retry = retry

    def body(self) -> bytes:
        """The error as OpenAI's JSON object, without spaces between its parts."""
        error = {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        }
        return json.dumps({"error": error}, separators=(",", ":")).encode()


class ClientLeft(Exception):
    """The client closed its connection; nobody reads what is answered."""


def invalid(message: str, *, param: str | None = None, code: str = "invalid_value") -> ApiError:
    """A 400: the request is wrong, at `param` if one is to blame."""
    return ApiError(400, INVALID_REQUEST, code, message, param=param)


@dataclass(frozen=True, slots=True)
class Row:
    """What a gRPC status means on the OpenAI wire, and the words for a status without ours."""

    status: int
    kind: str
    code: str
    message: str
    retry: bool | None = None


_BROKEN = Row(
    500,
    SERVER_ERROR,
    "internal_error",
    "Something went wrong on our side. Ask again; if it stays, look the request id up in the logs.",
    retry=False,
)
_INVALID = Row(400, INVALID_REQUEST, "invalid_value", "The model's server refused the request.")
_CONFLICT = Row(
    409, INVALID_REQUEST, "conflict", "Something else changed at the same time. Ask again."
)

TABLE: dict[StatusCode, Row] = {
    StatusCode.CANCELLED: Row(
        499, INVALID_REQUEST, "client_closed_request", "The request was cancelled."
    ),
    StatusCode.UNKNOWN: _BROKEN,
    StatusCode.INVALID_ARGUMENT: _INVALID,
    StatusCode.DEADLINE_EXCEEDED: Row(
        504,
        SERVER_ERROR,
        "timeout",
        "The answer took longer than allowed. Ask for fewer tokens, or stream it.",
        retry=False,
    ),
    StatusCode.NOT_FOUND: Row(404, INVALID_REQUEST, "not_found", "There is no such thing here."),
    StatusCode.ALREADY_EXISTS: _CONFLICT,
    StatusCode.PERMISSION_DENIED: Row(
        403, "permission_error", "permission_denied", "This key may not do that."
    ),
    StatusCode.RESOURCE_EXHAUSTED: Row(
        429, RATE_LIMIT, "rate_limit_exceeded", "Too many requests at once. Ask again in a moment."
    ),
    StatusCode.FAILED_PRECONDITION: _INVALID,
    StatusCode.ABORTED: _CONFLICT,
    StatusCode.OUT_OF_RANGE: _INVALID,
    StatusCode.UNIMPLEMENTED: Row(
        501, SERVER_ERROR, "unimplemented", "The model's server cannot do that.", retry=False
    ),
    StatusCode.INTERNAL: _BROKEN,
    StatusCode.UNAVAILABLE: Row(
        503, SERVER_ERROR, "service_unavailable", "No model can answer now. Ask again in a moment."
    ),
    StatusCode.DATA_LOSS: _BROKEN,
    StatusCode.UNAUTHENTICATED: Row(
        401, INVALID_REQUEST, "invalid_api_key", "The API key was not accepted."
    ),
}

# Reasons with a code of their own on the OpenAI wire.
_CODES = {
    "CONTEXT_LENGTH_EXCEEDED": "context_length_exceeded",
    "MODEL_NOT_FOUND": "model_not_found",
    "OUTPUT_FORMAT_INVALID": "invalid_response_format",
    "NO_CHAT_TEMPLATE": "no_chat_template",
    "MODEL_LOADING": "service_unavailable",
    "DRAINING": "service_unavailable",
    "ENGINE_DIED": "server_is_overloaded",
    "CACHE_FULL": "server_is_overloaded",
}
# Parameters that a reason blames; `None` stands for the prompt, whatever its name is there.
_PARAMS: dict[str, str | None] = {
    "CONTEXT_LENGTH_EXCEEDED": None,
    "TEMPLATE_REFUSED": None,
    "MODEL_NOT_FOUND": "model",
    "NO_CHAT_TEMPLATE": "model",
    "OUTPUT_FORMAT_INVALID": "response_format",
}
# OpenAI's names for fields of GenerateRequest; the rest of `sampling` has the same name in both.
_FIELDS = {
    "model": "model",
    "choices": "n",
    "stopping.stop_strings": "stop",
    "logprobs": "logprobs",
}


@dataclass(frozen=True, slots=True)
class Names:
    """What an endpoint calls the parameters that endpoints name differently."""

    prompt: str
    tokens_max: str


def to_api_error(error: ParleyError, names: Names) -> ApiError:
    """Puts a service's error into OpenAI's words, with the parameter that it blames."""
    row = TABLE[error.code]
    if not is_ours(error):
        return _foreign(row, error)
    field = error.metadata.get("field", "")
    param = _field_param(field, names) if field else None
    if error.reason in _PARAMS:
        param = _PARAMS[error.reason] or names.prompt
    message = error.message.replace(field, param) if field and param else error.message
    return ApiError(
        row.status,
        row.kind,
        _CODES.get(error.reason, row.code),
        message,
        param=param,
        retry_after_s=_retry_after_s(row, error),
        retry=row.retry,
    )


def _foreign(row: Row, error: ParleyError) -> ApiError:
    # The mesh refused our own key: that is no fault of the client's.
    if error.code in (StatusCode.UNAUTHENTICATED, StatusCode.PERMISSION_DENIED):
        row = _BROKEN
    return ApiError(
        row.status,
        row.kind,
        row.code,
        row.message,
        retry_after_s=_retry_after_s(row, error),
        retry=row.retry,
    )


def _retry_after_s(row: Row, error: ParleyError) -> float | None:
    if row.status not in (429, 503):
        return None
    return RETRY_AFTER_S_DEFAULT if error.retry_after_s is None else error.retry_after_s


def _field_param(field: str, names: Names) -> str | None:
    if field in _FIELDS:
        return _FIELDS[field]
    top, _, rest = field.partition(".")
    if top in ("conversation", "text", "tokens", "prompt"):
        return names.prompt
    if field == "stopping.tokens_max":
        return names.tokens_max
    if top == "output_format":
        return "response_format"
    return rest if top == "sampling" and rest else None


def unexpected() -> ApiError:
    """What a client is told of a failure that nobody foresaw."""
    return _api_error(_BROKEN)


def overloaded() -> ApiError:
    """What a client is told when the facade itself relays as many answers as it may."""
    row = TABLE[StatusCode.RESOURCE_EXHAUSTED]
    return _api_error(row, retry_after_s=RETRY_AFTER_S_DEFAULT)


def shutting_down() -> ApiError:
    """What a client is told when the facade ends before its answer does."""
    row = TABLE[StatusCode.UNAVAILABLE]
    return _api_error(row, retry_after_s=RETRY_AFTER_S_DEFAULT)


def _api_error(row: Row, **rest: Any) -> ApiError:
    return ApiError(row.status, row.kind, row.code, row.message, retry=row.retry, **rest)
