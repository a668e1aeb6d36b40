"""Errors of /api as problem details (RFC 9457): the table beside that of `errors.py`.

Statuses are the other table's; here are the titles, and the words for what a proxy or gRPC said.
"""

import json
import math
from dataclasses import dataclass
from typing import Any

from grpc import StatusCode
from starlette.responses import Response

from gateway import errors
from gateway.replies import encoded_reply
from services.rpc.errors import ParleyError, is_ours

PROBLEM_JSON = "application/problem+json"
TYPE = "urn:parley:problem:"
TITLES = {
    400: "The request is wrong, or the state of things forbids it",
    401: "No accepted key",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    408: "The request came too slowly",
    409: "In conflict with what is there",
    413: "The request is too large",
    415: "The request's body is of the wrong kind",
    429: "Too many requests",
    499: "The client left",
    500: "A fault on our side",
    501: "Not implemented",
    503: "Not available now",
    504: "It took too long",
}
# For a status whose words are not ours.
_WORDS = {
    StatusCode.UNAVAILABLE: "This part of Parley does not answer now. Ask again in a moment.",
    StatusCode.DEADLINE_EXCEEDED: "It took too long. Ask again with the same request id.",
    StatusCode.RESOURCE_EXHAUSTED: "Too much is asked at once. Ask again in a moment.",
    StatusCode.UNIMPLEMENTED: "This Parley has no such service.",
}
_BROKEN = (
    "Something went wrong on our side. Ask again; if it stays, look the request id up in the logs."
)
_OUR_FAULT = (StatusCode.UNAUTHENTICATED, StatusCode.PERMISSION_DENIED)


@dataclass(frozen=True, slots=True)
class Problem:
    """What a client of /api is told. `reason` is UPPER_SNAKE; `field` is the one to blame."""

    status: int
    reason: str
    detail: str
    field: str = ""
    retry_after_s: float | None = None

    def reply(self, request_id: str) -> Response:
        """The problem as an HTTP reply."""
        body = self.body(request_id)
        encoded = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        reply = encoded_reply(encoded, self.status, PROBLEM_JSON)
        if self.retry_after_s is not None:
            reply.headers["retry-after"] = str(max(1, math.ceil(self.retry_after_s)))
        return reply

    def body(self, request_id: str) -> dict[str, Any]:
        """The problem as JSON."""
        return {
            "type": TYPE + self.reason.lower().replace("_", "-"),
            "title": TITLES.get(self.status, "Refused"),
            "status": self.status,
            "detail": self.detail,
            "reason": self.reason,
            "request_id": request_id,
            **({"field": self.field} if self.field else {}),
        }


def of_service(error: ParleyError) -> Problem:
    """What a service's error comes to."""
    code, detail = error.code, error.message
    if not is_ours(error):
        # The mesh refused our own key: that is no fault of the client's.
        code = StatusCode[error.reason]
        code = StatusCode.INTERNAL if code in _OUR_FAULT else code
        detail = _WORDS.get(code, _BROKEN)
    row = errors.TABLE[code]
    passes = row.status in (429, 503)
    return Problem(
        row.status,
        error.reason if is_ours(error) else code.name,
        detail,
        error.metadata.get("field", ""),
        (error.retry_after_s or errors.RETRY_AFTER_S_DEFAULT) if passes else None,
    )


def of_api_error(error: errors.ApiError) -> Problem:
    """What the facade's own refusal comes to."""
    reason = (error.code or error.kind).upper()
    return Problem(error.status, reason, error.message, error.param or "", error.retry_after_s)
