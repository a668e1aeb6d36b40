"""The one table of statuses, and whose words reach a client."""

import json

import grpc
import pytest

from gateway.errors import TABLE, Names, to_api_error
from services.rpc import errors

NAMES = Names(prompt="messages", tokens_max="max_completion_tokens")
STATUSES = {
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code.name != "OK"])
def test_every_status_has_its_row(code: grpc.StatusCode) -> None:
    """Each of gRPC's sixteen failures has one HTTP status."""
    assert TABLE[code].status == STATUSES[code.name]


def test_success_has_no_row() -> None:
    """OK is no error, so a stream that ends with it early needs an error of its own."""
    assert grpc.StatusCode.OK not in TABLE


@pytest.mark.parametrize("code", list(TABLE))
def test_foreign_words_never_reach_a_client(code: grpc.StatusCode) -> None:
    """A proxy's or gRPC's own text is replaced by ours."""
    told = to_api_error(errors.from_status(code, "upstream 10.0.0.7 reset", None), NAMES)
    assert "10.0.0.7" not in told.body().decode()


@pytest.mark.parametrize("code", ["UNAUTHENTICATED", "PERMISSION_DENIED"])
def test_mesh_refusing_our_key_is_not_the_clients_fault(code: str) -> None:
    """A wrong mesh key is a 500: the client's own key was good."""
    told = to_api_error(errors.from_status(grpc.StatusCode[code], "no", None), NAMES)
    assert told.status == 500


@pytest.mark.parametrize(
    ("error", "status", "code", "param"),
    [
        (
            errors.InvalidArgument("Too long.", reason="CONTEXT_LENGTH_EXCEEDED"),
            400,
            "context_length_exceeded",
            "messages",
        ),
        (errors.NotFound("None.", reason="MODEL_NOT_FOUND"), 404, "model_not_found", "model"),
        (errors.ResourceExhausted("Full.", reason="QUEUE_FULL"), 429, "rate_limit_exceeded", None),
        (errors.Unavailable("Not yet.", reason="MODEL_LOADING"), 503, "service_unavailable", None),
        (errors.Unavailable("Leaving.", reason="DRAINING"), 503, "service_unavailable", None),
        (errors.Unavailable("Died.", reason="ENGINE_DIED"), 503, "server_is_overloaded", None),
        (
            errors.InvalidArgument("Bad schema.", reason="OUTPUT_FORMAT_INVALID"),
            400,
            "invalid_response_format",
            "response_format",
        ),
        (
            errors.InvalidArgument("Roles must alternate.", reason="TEMPLATE_REFUSED"),
            400,
            "invalid_value",
            "messages",
        ),
        (
            errors.FailedPrecondition("None.", reason="NO_CHAT_TEMPLATE"),
            400,
            "no_chat_template",
            "model",
        ),
        (errors.Internal("Broke.", reason="INTERNAL_ERROR"), 500, "internal_error", None),
    ],
)
def test_reason_has_its_code_and_parameter(
    error: errors.ParleyError, status: int, code: str, param: str | None
) -> None:
    """What serving says is told with OpenAI's code and the parameter to blame."""
    told = json.loads(to_api_error(error, NAMES).body())["error"]
    assert (to_api_error(error, NAMES).status, told["code"], told["param"]) == (status, code, param)
    assert told["message"] == error.message


@pytest.mark.parametrize(
    ("field", "param"),
    [
        ("sampling.temperature", "temperature"),
        ("stopping.tokens_max", "max_completion_tokens"),
        ("stopping.stop_strings", "stop"),
        ("choices", "n"),
        ("model", "model"),
        ("conversation.messages.content", "messages"),
        ("tokens.ids", "messages"),
        ("output_format.json_schema", "response_format"),
        ("something.new", None),
    ],
)
def test_field_of_the_contract_has_openais_name(field: str, param: str | None) -> None:
    """A field that serving refuses is named as the client wrote it, in param and in words."""
    error = errors.InvalidArgument(
        f"{field}: value is wrong", reason="INVALID_FIELD", metadata={"field": field}
    )
    told = to_api_error(error, NAMES)
    assert told.param == param
    assert told.message == f"{param or field}: value is wrong"


def test_retry_hint_of_the_service_is_kept() -> None:
    """A full queue's own estimate is what the client is told."""
    error = errors.ResourceExhausted("Full.", reason="QUEUE_FULL", retry_after_s=2.5)
    assert to_api_error(error, NAMES).retry_after_s == 2.5


@pytest.mark.parametrize("code", ["INTERNAL", "DEADLINE_EXCEEDED", "UNIMPLEMENTED"])
def test_what_would_fail_or_cost_again_is_not_to_be_repeated(code: str) -> None:
    """SDKs repeat every 5xx by themselves unless told not to."""
    told = to_api_error(errors.from_status(grpc.StatusCode[code], "", None), NAMES)
    assert told.retry is False
