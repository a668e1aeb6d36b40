"""Calls that must be refused, and addresses that stand for keys."""

import base64
import hashlib
import secrets
from datetime import UTC, datetime, timedelta

from services.registry.conformance.calls import Calls
from services.registry.conformance.checks import done, refused, same
from services.registry.conformance.verdict import No
from services.registry.conformance.wire import Answer, Wire, exchange, send_half

CALLS = Calls()
BODY = b"whole " * 50_000


@CALLS.add("presigned GET", needed=True)
def presigned_get(wire: Wire) -> None:
    """Serves whoever has the address, for that object alone."""
    wire.put("signed", BODY)
    wire.put("other", BODY)
    url = wire.presigned("GET", "signed")
    same(done(exchange("GET", url, {})).body, BODY, "the body")
    refused(exchange("GET", url._replace(path=wire.url("other").path), {}), 403)


@CALLS.add("presigned PUT", needed=False)
def presigned_put(wire: Wire) -> None:
    """Stores for whoever has the address."""
    done(exchange("PUT", wire.presigned("PUT", "signed-put"), {}, BODY))
    same(wire.content("signed-put"), BODY, "the body")


@CALLS.add("expired address refused", needed=True)
def expired(wire: Wire) -> None:
    """Serves nobody after the address's time."""
    wire.put("expired", b"1")
    long_ago = datetime.now(UTC) - timedelta(minutes=10)
    refused(exchange("GET", wire.presigned("GET", "expired", 60, long_ago), {}), 403)


@CALLS.add("no keys refused", needed=True)
def anonymous(wire: Wire) -> None:
    """Serves nobody without keys."""
    wire.put("private", b"1")
    refused(exchange("GET", wire.url("private"), {}), 403)


@CALLS.add("wrong secret refused", needed=True)
def wrong_secret(wire: Wire) -> None:
    """Serves nobody who has only the public half."""
    wire.put("private", b"1")
    stranger = wire.with_keys(wire.keys.access_key, secrets.token_hex(20))
    refused(stranger.send("GET", "private"), 403)


@CALLS.add("unknown key id refused", needed=True)
def unknown_key(wire: Wire) -> None:
    """Serves nobody it does not know."""
    wire.put("private", b"1")
    refused(wire.with_keys("nobody", wire.keys.secret_key).send("GET", "private"), 403)


def _kept_out(wire: Wire, key: str, answer: Answer | None) -> None:
    if wire.content(key) is not None:
        raise No("stored all the same" if answer else "stored what came")
    if answer:
        refused(answer, 400)


@CALLS.add("truncated body refused", needed=True)
def truncated(wire: Wire) -> None:
    """Keeps nothing of an upload that ended early."""
    url, headers = wire.signed("PUT", wire.url("half"), BODY)
    _kept_out(wire, "half", send_half("PUT", url, headers, BODY))


@CALLS.add("truncated body keeps the old object", needed=True)
def truncated_over(wire: Wire) -> None:
    """Leaves what was there as it was."""
    wire.put("old", b"old")
    url, headers = wire.signed("PUT", wire.url("old"), BODY)
    send_half("PUT", url, headers, BODY)
    same(wire.content("old"), b"old", "the object under a failed upload")


@CALLS.add("wrong x-amz-content-sha256 refused", needed=False)
def wrong_sha256(wire: Wire) -> None:
    """Keeps no body that is not the signed one."""
    wrong = hashlib.sha256(b"another").hexdigest()
    _kept_out(wire, "sha256", wire.send("PUT", "sha256", BODY, sha256=wrong))


@CALLS.add("wrong Content-MD5 refused", needed=False)
def wrong_md5(wire: Wire) -> None:
    """Keeps no body that is not the one the client hashed."""
    wrong = base64.b64encode(hashlib.md5(b"another", usedforsecurity=False).digest()).decode()
    answer = wire.send("PUT", "md5", BODY, headers={"Content-MD5": wrong})
    _kept_out(wire, "md5", answer)
