"""What an error becomes on the wire, and what comes off it."""

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from services.rpc import errors

KINDS = [
    errors.InvalidArgument,
    errors.OutOfRange,
    errors.Unauthenticated,
    errors.PermissionDenied,
    errors.NotFound,
    errors.AlreadyExists,
    errors.FailedPrecondition,
    errors.Aborted,
    errors.ResourceExhausted,
    errors.Unavailable,
    errors.DeadlineExceeded,
    errors.Internal,
]
FOREIGN = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]
RESETS = [
    "Received RST_STREAM with error code 2",
    "Stream removed (RST_STREAM received with error code 2)",
    "Received RST_STREAM with error code 8",
    "Socket closed",
    "Connection reset by peer",
]


def sent_and_read(error: errors.ParleyError) -> errors.ParleyError:
    """Takes an error over the wire's form and back."""
    details = errors.to_status(error).SerializeToString()
    return errors.from_status(error.code, error.message, details)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_survives_the_wire(kind: type[errors.ParleyError]):
    """Kind, words, reason, metadata and delay arrive as they were sent."""
    read = sent_and_read(kind("No.", reason="WHY", metadata={"field": "seed"}, retry_after_s=2.5))
    assert type(read) is kind
    assert (read.message, read.reason) == ("No.", "WHY")
    assert (read.metadata, read.retry_after_s) == ({"field": "seed"}, 2.5)


def test_each_kind_has_a_code_of_its_own():
    """No two kinds of error look alike on the wire, and the list above is whole."""
    assert len({kind.code for kind in KINDS}) == len(KINDS)
    assert {kind.__name__ for kind in KINDS} == _names_below(errors.ParleyError)


def _names_below(kind: type) -> set[str]:
    found = kind.__subclasses__()
    return {below.__name__ for below in found}.union(*(_names_below(below) for below in found))


def test_the_wire_names_our_domain():
    """ErrorInfo says whose reasons these are, and the status repeats code and words."""
    status = errors.to_status(errors.NotFound("No such model.", reason="MODEL_NOT_FOUND"))
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.domain, info.reason) == ("parley", "MODEL_NOT_FOUND")
    assert (status.code, status.message) == (5, "No such model.")


def test_without_a_delay_there_is_no_retry_info():
    """An error that will not pass by itself asks nobody to wait."""
    assert len(errors.to_status(errors.NotFound("No.", reason="X")).details) == 1
    assert sent_and_read(errors.NotFound("No.", reason="X")).retry_after_s is None


@pytest.mark.parametrize(
    ("asked_s", "told_s"), [(0, 0), (0.25, 0.25), (60, 60), (60.1, 60), (1e9, 60)]
)
def test_the_delay_is_bounded(asked_s: float, told_s: float):
    """Nobody is told to wait for more than a minute."""
    read = sent_and_read(errors.ResourceExhausted("Full.", reason="FULL", retry_after_s=asked_s))
    assert read.retry_after_s == told_s


@pytest.mark.parametrize("code", FOREIGN, ids=lambda code: code.name)
def test_a_foreign_status_keeps_its_code_and_words(code: grpc.StatusCode):
    """What is not ours becomes its kind, or Internal where we have none, under the code's name."""
    kinds = {kind.code: kind for kind in KINDS}
    read = errors.from_status(code, "upstream said no", None)
    assert type(read) is kinds.get(code, errors.Internal)
    assert (read.message, read.reason) == ("upstream said no", code.name)
    assert not errors.is_ours(read)


@pytest.mark.parametrize("words", RESETS)
@pytest.mark.parametrize("code", ["INTERNAL", "UNKNOWN"])
def test_a_stream_cut_off_by_a_dying_peer_is_unavailable(code: str, words: str):
    """A peer's death may be tried again elsewhere, though gRPC calls it the peer's bug."""
    read = errors.from_status(grpc.StatusCode[code], words, None)
    assert type(read) is errors.Unavailable
    assert (read.message, read.reason) == (words, "UNAVAILABLE")
    assert not errors.is_ours(read)


def test_our_own_internal_error_stays_internal():
    """Details decide: a replica that says INTERNAL itself is not tried again."""
    assert type(sent_and_read(errors.Internal(RESETS[0], reason="INTERNAL_ERROR"))) is (
        errors.Internal
    )


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "CANCELLED", "DEADLINE_EXCEEDED"])
def test_other_codes_are_not_taken_for_resets(code: str):
    """Only the codes that gRPC gives to a cut stream are turned."""
    assert not isinstance(
        errors.from_status(grpc.StatusCode[code], RESETS[0], None), errors.Unavailable
    )


def test_details_without_error_info_are_passed_over():
    """A stranger's details of other kinds neither break the reading nor pass for a reason."""
    status = status_pb2.Status(code=8)
    status.details.add().Pack(error_details_pb2.DebugInfo(detail="stack"))
    read = errors.from_status(
        grpc.StatusCode.RESOURCE_EXHAUSTED, "full", status.SerializeToString()
    )
    assert (read.reason, read.metadata, read.retry_after_s) == ("RESOURCE_EXHAUSTED", {}, None)


@pytest.mark.parametrize("reason", ["QUEUE_FULL", "INTERNAL_ERROR", "MODEL_NOT_FOUND"])
def test_reasons_of_ours_are_ours(reason: str):
    """An error with a reason beyond its code's name was written for a caller."""
    assert errors.is_ours(errors.ParleyError("No.", reason=reason))


def test_grpc_errors_are_read_with_their_details():
    """The binary details are found among other trailing metadata."""
    status = errors.to_status(errors.ResourceExhausted("Full.", reason="QUEUE_FULL"))
    trailing = grpc.aio.Metadata(
        ("date", "today"), (errors.STATUS_DETAILS_KEY, status.SerializeToString())
    )
    raised = grpc.aio.AioRpcError(
        grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.aio.Metadata(), trailing, details="Full."
    )
    read = errors.from_rpc_error(raised)
    assert (type(read), read.message, read.reason) == (
        errors.ResourceExhausted,
        "Full.",
        "QUEUE_FULL",
    )


def test_grpc_errors_without_trailers_are_read():
    """A connection that never came to be has neither trailers nor words."""
    read = errors.from_rpc_error(grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, None, None))
    assert (type(read), read.message, read.reason) == (errors.Unavailable, "", "UNAVAILABLE")
