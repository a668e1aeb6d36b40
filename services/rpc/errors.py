"""The one tree of errors that cross a service's border, and their form on the wire.

    ParleyError
      InvalidArgument       the caller's fault: ask differently
        OutOfRange          the same, where a value is past an end
      Unauthenticated       the caller did not say who it is
      PermissionDenied      the caller may not
      NotFound              the caller named what is not there
      AlreadyExists         the caller made it before
      FailedPrecondition    the state of things forbids it: change that first
      Aborted               another was faster: look again, then decide again
      ResourceExhausted     we are full: the same request may pass later
      Unavailable           we are not ready or going away: another replica may answer now
      DeadlineExceeded      time ran out
      Internal              our fault

Domain code raises these; one interceptor turns them into a gRPC status with google.rpc details.
Messages say what happened and what to do, and hold nothing internal. Knows neither HTTP nor any
service.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import ClassVar

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2

DOMAIN = "parley"
STATUS_DETAILS_KEY = "grpc-status-details-bin"
RETRY_DELAY_S_MAX = 60.0
# How gRPC's core tells of a peer that died during a call, also where a proxy stands between.
_RESET = re.compile(r"RST_STREAM|Stream removed|Socket closed|Connection reset")
_RESET_CODES = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)


class ParleyError(Exception):
    """A failure that a caller may see.

    `reason` is UPPER_SNAKE and unique; `metadata` repeats the message's values for machines;
    `retry_after_s`, where set, is how long to wait before the same request may pass.
    """

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.UNKNOWN

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.retry_after_s = retry_after_s


class InvalidArgument(ParleyError):
    """The request itself is wrong, whatever our state."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class OutOfRange(InvalidArgument):
    """A value is past the end of what there is."""

    code = grpc.StatusCode.OUT_OF_RANGE


class Unauthenticated(ParleyError):
    """No valid credentials came with the request."""

    code = grpc.StatusCode.UNAUTHENTICATED


class PermissionDenied(ParleyError):
    """The caller is known and may not do this."""

    code = grpc.StatusCode.PERMISSION_DENIED


class NotFound(ParleyError):
    """What the request names is not here."""

    code = grpc.StatusCode.NOT_FOUND


class AlreadyExists(ParleyError):
    """What the request would make is already here."""

    code = grpc.StatusCode.ALREADY_EXISTS


class FailedPrecondition(ParleyError):
    """The request is right, but the state of things must change first."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class Aborted(ParleyError):
    """The state is not the one that the caller knew of; another changed it."""

    code = grpc.StatusCode.ABORTED


class ResourceExhausted(ParleyError):
    """A bound is reached; the same request may pass later."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class Unavailable(ParleyError):
    """This server cannot answer now; another may."""

    code = grpc.StatusCode.UNAVAILABLE


class DeadlineExceeded(ParleyError):
    """The caller's time, or a bound of ours, ran out."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED


class Internal(ParleyError):
    """Our fault; the log has the rest under the request's id."""

    code = grpc.StatusCode.INTERNAL


def to_status(error: ParleyError) -> status_pb2.Status:
    """Puts an error into google.rpc.Status with ErrorInfo and, where it passes by itself,
    RetryInfo."""
    status = status_pb2.Status(code=error.code.value[0], message=error.message)
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    _pack(status, info)
    if error.retry_after_s is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(int(min(error.retry_after_s, RETRY_DELAY_S_MAX) * 1000))
        _pack(status, error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def from_status(code: grpc.StatusCode, message: str, details: bytes | None) -> ParleyError:
    """Makes the error that a peer meant from what came over the wire.

    `details` is the value of `grpc-status-details-bin`, or None. A peer that is not ours, or gone,
    sends none: its words are kept for the log, and the reason is the code's name. A stream that was
    cut off by a dying peer is Unavailable: gRPC blames the peer for it, but another may answer.
    """
    info, retry_after_s = _read_details(details)
    if not info.reason and code in _RESET_CODES and _RESET.search(message):
        code = grpc.StatusCode.UNAVAILABLE
    kind = _BY_CODE.get(code, Internal)
    return kind(
        message,
        reason=info.reason or code.name,
        metadata=dict(info.metadata),
        retry_after_s=retry_after_s,
    )


def from_rpc_error(error: grpc.aio.AioRpcError) -> ParleyError:
    """Makes the error that a peer meant from grpc.aio's exception."""
    details = next(
        (value for key, value in error.trailing_metadata() or () if key == STATUS_DETAILS_KEY), None
    )
    return from_status(error.code(), error.details() or "", details)


def is_ours(error: ParleyError) -> bool:
    """Whether the error's words were written for a caller: its reason is not just a status code's
    name."""
    return error.reason not in code_pb2.Code.keys()  # noqa: SIM118 (an enum wrapper is no dict)


def _pack(
    status: status_pb2.Status, message: error_details_pb2.ErrorInfo | error_details_pb2.RetryInfo
) -> None:
    packed = any_pb2.Any()
    packed.Pack(message)
    status.details.append(packed)


def _read_details(details: bytes | None) -> tuple[error_details_pb2.ErrorInfo, float | None]:
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    retry_after_s: float | None = None
    # A peer that is not ours may send anything.
    with suppress(DecodeError):
        for packed in status_pb2.Status.FromString(details or b"").details:
            if packed.Unpack(retry):
                retry_after_s = retry.retry_delay.ToMilliseconds() / 1000
            else:
                packed.Unpack(info)
    return info, retry_after_s


_BY_CODE: dict[grpc.StatusCode, type[ParleyError]] = {
    kind.code: kind
    for kind in (
        InvalidArgument,
        OutOfRange,
        Unauthenticated,
        PermissionDenied,
        NotFound,
        AlreadyExists,
        FailedPrecondition,
        Aborted,
        ResourceExhausted,
        Unavailable,
        DeadlineExceeded,
        Internal,
    )
}
