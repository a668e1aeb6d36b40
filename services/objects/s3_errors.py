"""What an S3 server's failures mean to our callers.

The server's own words stay out of the answers: they may hold keys, addresses and paths.
"""

import re

import urllib3
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError

from services.objects.verified import WrongBytes
from services.rpc import errors

UNAVAILABLE_CODES = {"InternalError", "ServiceUnavailable", "SlowDown", "RequestTimeout"}
KEY_CODES = {
    "AccessDenied",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "AuthorizationHeaderMalformed",
}
RETRY_AFTER_S = 1.0
# What a call can raise: the client's own errors, the network's, and our checks'. An OSError of our
# own disk is none of them.
FAILURES = (MinioException, urllib3.exceptions.HTTPError, TimeoutError, ValueError, WrongBytes)


def translated(error: Exception, key: str) -> errors.ParleyError:
    """Makes the error to raise for a failure with `key`, which is an object or a prefix."""
    if isinstance(error, WrongBytes):
        return _internal(
            "OBJECT_CORRUPT",
            f"{key} is not what its digest names: the file or the object changed; import it again",
        )
    if isinstance(error, S3Error):
        return _from_code(error.code or "", error.response.status, key)
    if isinstance(error, ServerError):
        return _from_code("", error.status_code, key)
    if isinstance(error, InvalidResponseError):
        # Not XML. The status is nowhere but in the client's words.
        status = re.search(r"Response code: (\d+)", str(error))
        return _from_code("", int(status[1]) if status else 500, key)
    if isinstance(error, urllib3.exceptions.HTTPError | TimeoutError):
        return unavailable()
    return _internal("OBJECT_STORE_REFUSED", f"the object store's client refused {key}")


def unavailable() -> errors.Unavailable:
    """Makes the error for a server that does not answer, or not as an S3 server does."""
    return errors.Unavailable(
        "the object store does not answer; it may be starting: try again, or see ./parley status",
        reason="OBJECT_STORE_UNAVAILABLE",
        retry_after_s=RETRY_AFTER_S,
    )


def bucket_not_found() -> errors.Internal:
    """Makes the error for a server that has no bucket of ours."""
    return _internal("BUCKET_NOT_FOUND", "the object store has no such bucket; see doctor")


def _from_code(code: str, status: int, key: str) -> errors.ParleyError:
    if code == "NoSuchKey":
        return errors.NotFound(
            f"the object store has no {key}", reason="OBJECT_NOT_FOUND", metadata={"key": key}
        )
    if code == "NoSuchBucket":
        return bucket_not_found()
    # A HEAD has no words, and not every server says 403 to wrong keys.
    if code in KEY_CODES or status in (400, 401, 403):
        return _internal(
            "OBJECT_STORE_KEYS", "the object store refuses our keys; check the credentials file"
        )
    if code in UNAVAILABLE_CODES or status >= 500:
        return unavailable()
    return _internal("OBJECT_STORE_REFUSED", f"the object store answered {status} for {key}")


def _internal(reason: str, message: str) -> errors.Internal:
    return errors.Internal(message, reason=reason)
