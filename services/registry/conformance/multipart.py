"""Calls that store an object in parts."""

from services.registry.conformance.calls import Calls
from services.registry.conformance.checks import done, refused, same
from services.registry.conformance.verdict import No
from services.registry.conformance.wire import Wire

CALLS = Calls()
PART = b"p" * (5 << 20)  # The smallest that S3 takes for all but the last.


def _begin(wire: Wire, key: str) -> str:
    return done(wire.send("POST", key, query={"uploads": ""})).text("UploadId")


def _part(wire: Wire, key: str, upload: str, number: int, body: bytes) -> str:
    query = {"partNumber": str(number), "uploadId": upload}
    return done(wire.send("PUT", key, body, query)).headers.get("etag", "")


@CALLS.add("multipart, complete", needed=True)
def complete(wire: Wire) -> None:
    """Shows the object when all parts are named, and not before."""
    upload = _begin(wire, "parts")
    tags = [_part(wire, "parts", upload, n, body) for n, body in ((1, PART), (2, b"end"))]
    same(wire.content("parts"), None, "an object before its completion")
    parts = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>"
        for number, tag in enumerate(tags, 1)
    )
    body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
    answer = done(wire.send("POST", "parts", body, {"uploadId": upload}))
    if answer.code:  # S3 may tell of a failure after it said 200.
        raise No(f"answered with 200 and {answer.code}")
    same(wire.content("parts"), PART + b"end", "the body")


@CALLS.add("multipart, abort", needed=True)
def abort(wire: Wire) -> None:
    """Leaves nothing behind, and takes no more parts."""
    upload = _begin(wire, "aborted")
    _part(wire, "aborted", upload, 1, b"1")
    done(wire.send("DELETE", "aborted", query={"uploadId": upload}), 204)
    same(wire.content("aborted"), None, "an object after its upload was aborted")
    query = {"partNumber": "2", "uploadId": upload}
    refused(wire.send("PUT", "aborted", b"2", query), 404)
