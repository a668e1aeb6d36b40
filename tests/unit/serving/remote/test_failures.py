"""What another server's refusals mean to our callers."""

import json

import pytest
from grpc import StatusCode as Code

from services.serving.remote.failures import MESSAGE_CHARS_MAX, MISCONFIGURED, Secrets, from_answer

SECRETS = Secrets("sk-1", "/models/llama", "llama")


def refusal(status: int, body: object = None, **headers: str):
    """Our error for an answer."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return from_answer(status, {k.replace("_", "-"): v for k, v in headers.items()}, raw, SECRETS)


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (400, Code.INVALID_ARGUMENT, "REMOTE_REFUSED"),
        (413, Code.INVALID_ARGUMENT, "REMOTE_REFUSED"),
        (422, Code.INVALID_ARGUMENT, "REMOTE_REFUSED"),
        (401, Code.UNAVAILABLE, MISCONFIGURED),
        (403, Code.UNAVAILABLE, MISCONFIGURED),
        (404, Code.UNAVAILABLE, MISCONFIGURED),
        (307, Code.UNAVAILABLE, MISCONFIGURED),
        (429, Code.RESOURCE_EXHAUSTED, "REMOTE_BUSY"),
        (500, Code.UNAVAILABLE, "REMOTE_UNAVAILABLE"),
        (503, Code.UNAVAILABLE, "REMOTE_UNAVAILABLE"),
        (418, Code.UNAVAILABLE, "REMOTE_UNAVAILABLE"),
    ],
)
def test_each_status_has_its_meaning(status, code, reason):
    """And words of the server's come along only with what the caller can mend."""
    error = refusal(status, {"error": {"message": "key sk-1 is wrong"}})
    assert (error.code, error.reason) == (code, reason)
    assert "sk-1" not in error.message
    assert ("is wrong" in error.message) == (code is Code.INVALID_ARGUMENT)


@pytest.mark.parametrize(
    ("told", "wait_s"),
    [("7", 7), ("0.5", 0.5), ("900", 60), ("-1", 1), ("nan", 1),
     ("Wed, 21 Oct 2026 07:28:00 GMT", 1), (None, 1)],
)  # fmt: skip
def test_a_busy_server_says_when_to_come_back(told, wait_s):
    """In seconds, within bounds."""
    headers = {} if told is None else {"retry_after": told}
    assert refusal(429, **headers).retry_after_s == wait_s


@pytest.mark.parametrize(
    "body",
    [{"error": {"message": "no\nway"}}, {"message": "no \x00 way"}, {"detail": "no way"},
     {"error": "no way"}],
)  # fmt: skip
def test_words_are_found_in_any_shape_and_cleaned(body):
    """One line without control characters."""
    assert refusal(400, body).message.endswith("refused the request: no way")


def test_words_tell_nothing_of_the_server():
    """Neither the path of its model nor more than anybody reads."""
    error = refusal(400, {"error": {"message": "/models/llama: " + "x" * 9999}})
    assert ": llama: xxx" in error.message
    assert len(error.message) < MESSAGE_CHARS_MAX + 100
    for odd in (b"\xff<html>", b"[" * 70_000, [], {"error": {"message": {}}}, {"detail": [{}]}):
        assert "does not say why" in refusal(422, odd).message


@pytest.mark.parametrize(
    ("error", "reason", "field"),
    [
        ({"param": "temperature"}, "REMOTE_REFUSED", "sampling.temperature"),
        ({"param": "messages"}, "REMOTE_REFUSED", "conversation"),
        ({"param": "response_format"}, "OUTPUT_FORMAT_INVALID", "output_format"),
        ({"param": "secret_knob"}, "REMOTE_REFUSED", None),
        ({"code": "context_length_exceeded"}, "CONTEXT_LENGTH_EXCEEDED", None),
        ({"message": "This model's maximum context length is 5"}, "CONTEXT_LENGTH_EXCEEDED", None),
    ],
)
def test_the_field_to_blame_is_named_as_ours(error, reason, field):
    """By the server's `param`."""
    found = refusal(400, {"error": error})
    assert (found.reason, found.metadata.get("field")) == (reason, field)
