"""What Envoy itself answers when no service does: OpenAI's error shape at the edge, MLflow's before
MLflow, words for gRPC.

The error's form is that of OpenAI's API reference; OpenAI's SDKs read `message`, `type` and `code`,
and wait `retry-after` seconds. Services' own answers pass untouched.
"""

from typing import NamedTuple

from envoy_data_plane.envoy.config.accesslog.v3 import (
    AccessLogFilter,
    ComparisonFilter,
    ComparisonFilterOp,
    StatusCodeFilter,
)
from envoy_data_plane.envoy.config.core.v3 import (
    DataSource,
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
    RuntimeUInt32,
    SubstitutionFormatString,
)
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    LocalReplyConfig,
    ResponseMapper,
)

from services.mesh.typed import struct

BAD_REQUEST = "invalid_request_error"
OUR_FAULT = "server_error"


class Reply(NamedTuple):
    """One of the edge's own answers."""

    status: int
    type: str
    code: str
    message: str
    headers: tuple[tuple[str, str], ...] = ()


EDGE_REPLIES = (
    Reply(
        400,
        BAD_REQUEST,
        "bad_request",
        "The request is not valid HTTP for this server (%RESPONSE_CODE_DETAILS%). Check its path "
        "and headers; header names must not hold underscores.",
    ),
    Reply(
        401,
        BAD_REQUEST,
        "invalid_api_key",
        "No valid API key came with the request. Send it as 'Authorization: Bearer KEY'; "
        "`./parley status` shows the file that holds it.",
        (("www-authenticate", "Bearer"),),
    ),
    Reply(
        403,
        BAD_REQUEST,
        "origin_not_allowed",
        "Pages of another origin may not call Parley. Open the address that `./parley up` printed.",
    ),
    Reply(
        404,
        BAD_REQUEST,
        "unknown_url",
        "There is nothing at this address. Parley serves /v1/models, /v1/chat/completions, "
        "/v1/completions and the chat page.",
    ),
    Reply(
        408,
        "timeout_error",
        "request_timeout",
        "The request took too long to arrive, or nothing moved for too long. Send it again.",
    ),
    Reply(
        413,
        BAD_REQUEST,
        "request_too_large",
        "The request's body is too large. Shorten the prompt.",
    ),
    Reply(
        421,
        BAD_REQUEST,
        "host_not_allowed",
        "This server answers to 127.0.0.1 and localhost only. Use one of these as the host.",
    ),
    Reply(
        429,
        "rate_limit_error",
        "rate_limit_exceeded",
        "Too many requests in a short time. Wait a second, then send it again.",
        (("retry-after", "1"),),
    ),
    Reply(
        431,
        BAD_REQUEST,
        "headers_too_large",
        "The request's headers are too large or too many. Send fewer.",
    ),
    Reply(
        502,
        OUR_FAULT,
        "bad_gateway",
        "The service behind this address answered with something that is not HTTP. "
        "`./parley logs gateway` may say why.",
    ),
    Reply(
        503,
        OUR_FAULT,
        "service_unavailable",
        "The service is starting, full or down. Try again in a moment; `./parley status` shows "
        "which part.",
        (("retry-after", "1"),),
    ),
    Reply(
        504,
        OUR_FAULT,
        "gateway_timeout",
        "No answer came in time. Send the request again; `./parley status` shows the services.",
    ),
)

MESH_MESSAGES = {
    401: "no valid key came with the call; send metadata 'authorization: Bearer KEY' "
    "(`./parley status` shows the file that holds it)",
    404: "this listener has no such service; it serves parley.serving.v1.ModelServing, "
    "parley.registry.v1.Registry, parley.jobs.v1.Jobs and .Feedback where there are such, "
    "reflection and health",
    503: "no server could take the call (%LOCAL_REPLY_BODY%); `./parley status` shows them",
}

# MLflow's clients read `error_code`, of the list in its databricks.proto, and `message`.
MLFLOW_CODES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "ENDPOINT_NOT_FOUND",
    429: "REQUEST_LIMIT_EXCEEDED",
    502: "TEMPORARILY_UNAVAILABLE",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "TEMPORARILY_UNAVAILABLE",
}
MLFLOW_MESSAGES = {
    401: "MLflow asks for Parley's key. In a browser, open the address that `./parley token` "
    "prints, then this one again; for a program, set MLFLOW_TRACKING_TOKEN to the API key.",
    403: "Pages of another origin may not call MLflow.",
    413: "The request's body is too large. Log less at a time.",
    502: "MLflow answered with something that is not HTTP. `./parley logs mlflow` may say why.",
    503: "MLflow is starting or down. Try again in a moment; `./parley status` shows it.",
    504: "MLflow gave no answer in time. Send the request again.",
}


def edge_replies() -> LocalReplyConfig:
    """Turns each of Envoy's own answers at the edge into OpenAI's error object."""
    return LocalReplyConfig(mappers=[_openai(reply) for reply in EDGE_REPLIES])


def mesh_replies() -> LocalReplyConfig:
    """Gives Envoy's own gRPC statuses messages that say what to do.

    Envoy turns 401 into UNAUTHENTICATED, 404 into UNIMPLEMENTED, 503 into UNAVAILABLE.
    """
    return LocalReplyConfig(
        mappers=[
            ResponseMapper(
                filter=_status(status),
                body_format_override=SubstitutionFormatString(
                    text_format_source=DataSource(inline_string=text)
                ),
            )
            for status, text in MESH_MESSAGES.items()
        ]
    )


def mlflow_replies() -> LocalReplyConfig:
    """Turns each of Envoy's own answers before MLflow into MLflow's error object."""
    return LocalReplyConfig(mappers=[_mlflow(reply) for reply in EDGE_REPLIES])


def _mlflow(reply: Reply) -> ResponseMapper:
    error = {
        "error_code": MLFLOW_CODES.get(reply.status, "BAD_REQUEST"),
        "message": MLFLOW_MESSAGES.get(reply.status, reply.message),
    }
    return ResponseMapper(
        filter=_status(reply.status),
        body_format_override=SubstitutionFormatString(
            json_format=struct(error), content_type="application/json"
        ),
        headers_to_add=[_header(key, value) for key, value in reply.headers],
    )


def _openai(reply: Reply) -> ResponseMapper:
    error = {
        "message": reply.message,
        "type": reply.type,
        "param": None,
        "code": reply.code,
    }
    return ResponseMapper(
        filter=_status(reply.status),
        body_format_override=SubstitutionFormatString(
            json_format=struct({"error": error}), content_type="application/json"
        ),
        headers_to_add=[_header(key, value) for key, value in reply.headers],
    )


def _header(key: str, value: str) -> HeaderValueOption:
    return HeaderValueOption(
        header=HeaderValue(key=key, value=value),
        append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
    )


def _status(code: int) -> AccessLogFilter:
    value = RuntimeUInt32(default_value=code, runtime_key=f"parley.reply.{code}")
    comparison = ComparisonFilter(op=ComparisonFilterOp.EQ, value=value)
    return AccessLogFilter(status_code_filter=StatusCodeFilter(comparison=comparison))
