"""From what goes wrong at another server to our errors, in words for our callers. Pure.

A server's own words reach a caller only where the caller can mend something, and cleaned. What is
wrong between the replica and its server is the operator's to see, in the log.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.rpc.errors import (
    Internal,
    InvalidArgument,
    ParleyError,
    ResourceExhausted,
    Unavailable,
)
from services.serving.engine import CHOSEN_BY

MESSAGE_CHARS_MAX = 500
RETRY_AFTER_S_DEFAULT = 1.0
RETRY_AFTER_S_MAX = 60.0
MISCONFIGURED = "REMOTE_MISCONFIGURED"
_CALLERS_FAULT = (400, 413, 422)
# What an operator must mend: the address, the key, or the model's name.
_OPERATORS_FAULT = (301, 302, 303, 307, 308, 401, 403, 404, 405)
_UNPRINTABLE = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_TOO_LONG = re.compile(r"context[ _]length|maximum context|model'?s context|longer than", re.I)
# OpenAI's names for our fields.
_FIELDS = {
    "messages": "conversation",
    "prompt": "text",
    "model": "model",
    "stop": "stopping.stop_strings",
    "max_tokens": "stopping.tokens_max",
    "max_completion_tokens": "stopping.tokens_max",
    "response_format": "output_format",
    **{name: f"sampling.{name}" for name in (*CHOSEN_BY, "seed")},
}


@dataclass(frozen=True, slots=True)
class Secrets:
    """What must not be in words for a caller: the key, and the model's name on the server, in
    whose place `shown` stands."""

    key: str
    model: str
    shown: str

    def clean(self, words: object) -> str:
        """One line of plain text, of a bounded length."""
        text = words if isinstance(words, str) else ""
        if self.key:
            text = text.replace(self.key, "***")
        if self.model:
            text = text.replace(self.model, self.shown)
        return _UNPRINTABLE.sub(" ", text).strip()[:MESSAGE_CHARS_MAX]


def from_answer(
    status: int, headers: Mapping[str, str], body: bytes, secrets: Secrets
) -> ParleyError:
    """The error that a refusal means to our caller."""
    if status == 429:
        return _busy(_retry_after_s(headers))
    if status in _CALLERS_FAULT:
        return _invalid(_error_of(body), secrets)
    if status in _OPERATORS_FAULT:
        return Unavailable(
            "This replica cannot use the server behind it; another replica may answer. Its log "
            "says what to mend.",
            reason=MISCONFIGURED,
            retry_after_s=RETRY_AFTER_S_DEFAULT,
        )
    return away(_retry_after_s(headers))


def from_frame(error: Any, secrets: Secrets) -> ParleyError:
    """The error that a frame in mid-stream means."""
    told = error if isinstance(error, dict) else {"message": error}
    status, kind = told.get("code"), told.get("type")
    if status == 429 or kind == "rate_limit_error":
        return _busy(RETRY_AFTER_S_DEFAULT)
    if status in _CALLERS_FAULT or kind in ("invalid_request_error", "BadRequestError"):
        return _invalid(told, secrets)
    return broke("ended it with an error")


def away(retry_after_s: float = RETRY_AFTER_S_DEFAULT) -> Unavailable:
    """The server is not there, or not well."""
    return Unavailable(
        "The server behind this replica does not answer. Ask again.",
        reason="REMOTE_UNAVAILABLE",
        retry_after_s=retry_after_s,
    )


def broke(how: str) -> Unavailable:
    """The server began an answer, and did not end it as it should."""
    return Unavailable(
        f"The server that was answering {how}. Ask again.",
        reason="REMOTE_BROKE_OFF",
        retry_after_s=RETRY_AFTER_S_DEFAULT,
    )


def not_understood(what: str) -> Internal:
    """The server says what OpenAI's protocol has no place for."""
    return Internal(
        f"The server behind this replica {what}, which cannot be passed on.",
        reason="REMOTE_NOT_UNDERSTOOD",
    )


def _busy(retry_after_s: float) -> ResourceExhausted:
    return ResourceExhausted(
        f"The server behind this model is busy. Try again in {retry_after_s:g} s.",
        reason="REMOTE_BUSY",
        retry_after_s=retry_after_s,
    )


def _invalid(error: dict[str, Any], secrets: Secrets) -> InvalidArgument:
    words = secrets.clean(error.get("message"))
    message = f"The model's server refused the request: {words or 'it does not say why'}"
    if error.get("code") == "context_length_exceeded" or _TOO_LONG.search(words):
        return InvalidArgument(message, reason="CONTEXT_LENGTH_EXCEEDED")
    field = _FIELDS.get(str(error.get("param")), "")
    reason = "OUTPUT_FORMAT_INVALID" if field == "output_format" else "REMOTE_REFUSED"
    return InvalidArgument(message, reason=reason, metadata={"field": field} if field else None)


def _error_of(body: bytes) -> dict[str, Any]:
    """The error object in any of the shapes that servers give it; its `message` at least."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(told, dict):
        return {}
    error = told.get("error", told)
    if not isinstance(error, dict):
        return {"message": error}
    detail = error.get("detail")
    return {"message": detail if isinstance(detail, str) else None, **error}


def _retry_after_s(headers: Mapping[str, str]) -> float:
    try:
        asked_s = float(headers.get("retry-after", ""))
    except ValueError:
        return RETRY_AFTER_S_DEFAULT
    # A number that is none fails both comparisons.
    return min(asked_s, RETRY_AFTER_S_MAX) if asked_s > 0 else RETRY_AFTER_S_DEFAULT
