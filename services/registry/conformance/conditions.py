"""Calls that are done only when a condition holds."""

from services.registry.conformance.calls import Calls
from services.registry.conformance.checks import done, refused, same
from services.registry.conformance.wire import Wire

CALLS = Calls()


@CALLS.add("read If-Match", needed=False)
def read_if_match(wire: Wire) -> None:
    """Sends the object that is meant, and 412 for another."""
    wire.put("match", b"1")
    tag = wire.send("HEAD", "match").headers.get("etag", "")
    done(wire.send("GET", "match", headers={"If-Match": tag}))
    refused(wire.send("GET", "match", headers={"If-Match": '"0123"'}), 412)


@CALLS.add("read If-None-Match", needed=False)
def read_if_none_match(wire: Wire) -> None:
    """Answers with 304 when the reader has the object."""
    wire.put("none-match", b"1")
    tag = wire.send("HEAD", "none-match").headers.get("etag", "")
    same(wire.send("GET", "none-match", headers={"If-None-Match": tag}).status, 304, "the status")


@CALLS.add("write If-None-Match: *", needed=False)
def write_once(wire: Wire) -> None:
    """Stores only where nothing is."""
    once = {"If-None-Match": "*"}
    done(wire.send("PUT", "once", b"first", headers=once))
    answer = wire.send("PUT", "once", b"second", headers=once)
    refused(answer, 412)
    same(wire.content("once"), b"first", "the body")


@CALLS.add("write If-Match", needed=False)
def write_if_match(wire: Wire) -> None:
    """Stores only over the object that is meant."""
    wire.put("swap", b"first")
    answer = wire.send("PUT", "swap", b"second", headers={"If-Match": '"0123"'})
    refused(answer, 412)
    same(wire.content("swap"), b"first", "the body")
