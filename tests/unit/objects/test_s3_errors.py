"""What an S3 server's failures mean."""

import pytest
import urllib3
from minio.error import InvalidResponseError, S3Error, ServerError

from services.objects import s3_errors
from services.rpc.errors import Internal, NotFound, Unavailable


def said(code, status):
    """An error that the server put into words of its own."""
    response = urllib3.HTTPResponse(status=status)
    return S3Error(response, code, "secret words", "/b/k", "1", "2", "b", "k")


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (said("NoSuchKey", 404), NotFound, "OBJECT_NOT_FOUND"),
        (said("NoSuchBucket", 404), Internal, "BUCKET_NOT_FOUND"),
        (said("SignatureDoesNotMatch", 403), Internal, "OBJECT_STORE_KEYS"),
        (said("SlowDown", 503), Unavailable, "OBJECT_STORE_UNAVAILABLE"),
        (said("EntityTooLarge", 413), Internal, "OBJECT_STORE_REFUSED"),
        (ServerError("failed", 502), Unavailable, "OBJECT_STORE_UNAVAILABLE"),
        (ServerError("failed", 400), Internal, "OBJECT_STORE_KEYS"),
        (InvalidResponseError(502, "text/html", "<html>"), Unavailable, "OBJECT_STORE_UNAVAILABLE"),
        (InvalidResponseError(403, "text/plain", "no"), Internal, "OBJECT_STORE_KEYS"),
        (urllib3.exceptions.ProtocolError("cut"), Unavailable, "OBJECT_STORE_UNAVAILABLE"),
        (TimeoutError(), Unavailable, "OBJECT_STORE_UNAVAILABLE"),
        (ValueError("bad name"), Internal, "OBJECT_STORE_REFUSED"),
    ],
)
def test_each_failure_has_its_error(error, kind, reason):
    """A caller learns whether to wait, to mend or to ask for something else."""
    made = s3_errors.translated(error, "a/key")
    assert (type(made), made.reason) == (kind, reason)
    assert "secret words" not in made.message
