"""Calls on buckets and single objects."""

import base64
import hashlib
import os
import zlib

from services.registry.conformance.calls import Calls
from services.registry.conformance.checks import done, refused, same
from services.registry.conformance.verdict import Differs, No
from services.registry.conformance.wire import Wire, exchange

CALLS = Calls()
BODY = b"parley " * 1000


@CALLS.add("head bucket", needed=True)
def head_bucket(wire: Wire) -> None:
    """Finds its bucket."""
    done(wire.send("HEAD", None))


@CALLS.add("create a bucket that is ours", needed=False)
def create_bucket(wire: Wire) -> None:
    """Is told that the bucket is there already, and loses nothing."""
    wire.put("kept", b"1")
    answer = wire.send("PUT", None)
    same(wire.content("kept"), b"1", "an object after the bucket was made again")
    if answer.status != 200:
        refused(answer, 409)


@CALLS.add("list buckets", needed=False)
def list_buckets(wire: Wire) -> None:
    """Finds the bucket among all."""
    root = wire.url(None)._replace(path="/")
    answer = done(exchange("GET", *wire.signed("GET", root, b"")))
    same(wire.bucket in answer.texts("Name"), True, "the list")


@CALLS.add("put, get", needed=True)
def put_get(wire: Wire) -> None:
    """Gets what was put, and its length and MD5."""
    stored = done(wire.send("PUT", "plain", BODY))
    got = done(wire.send("GET", "plain"))
    same(got.body, BODY, "the body")
    tags = {stored.headers.get("etag"), got.headers.get("etag")}
    if tags != {f'"{hashlib.md5(BODY, usedforsecurity=False).hexdigest()}"'}:
        raise Differs("the ETag is no MD5")


@CALLS.add("put over an object", needed=True)
def overwrite(wire: Wire) -> None:
    """Gets the last that was put."""
    wire.put("twice", b"old and longer")
    wire.put("twice", b"new")
    same(wire.content("twice"), b"new", "the body")


@CALLS.add("head object", needed=True)
def head(wire: Wire) -> None:
    """Tells the size, and a 404 for what is not there."""
    wire.put("head", BODY)
    same(done(wire.send("HEAD", "head")).headers.get("content-length"), str(len(BODY)), "the size")
    refused(wire.send("HEAD", "nothing"), 404)


@CALLS.add("get what is not there", needed=True)
def get_nothing(wire: Wire) -> None:
    """Answers with S3's name of the error."""
    answer = wire.send("GET", "nothing")
    refused(answer, 404)
    same(answer.code, "NoSuchKey", "the error's name")


@CALLS.add("delete, twice", needed=True)
def delete(wire: Wire) -> None:
    """Removes an object, and does not mind that it is gone."""
    wire.put("gone", b"1")
    done(wire.send("DELETE", "gone"), 204)
    same(wire.content("gone"), None, "an object after its removal")
    done(wire.send("DELETE", "gone"), 204)


@CALLS.add("delete many", needed=True)
def delete_many(wire: Wire) -> None:
    """Removes several objects in one request, also those that are not there."""
    for name in ("many/a", "many/b"):
        wire.put(name, b"1")
    names = "".join(
        f"<Object><Key>{wire.prefix}many/{name}</Key></Object>" for name in ("a", "b", "c")
    )
    body = f"<Delete>{names}</Delete>".encode()
    md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    done(wire.send("POST", None, body, {"delete": ""}, {"Content-MD5": md5}))
    same([wire.content("many/a"), wire.content("many/b")], [None, None], "what is left")


@CALLS.add("empty object", needed=True)
def empty(wire: Wire) -> None:
    """Keeps an object of no bytes."""
    wire.put("empty", b"")
    same(wire.content("empty"), b"", "the body")


@CALLS.add("keys in any script", needed=True)
def unicode_keys(wire: Wire) -> None:
    """Keeps keys with letters of many scripts, and spaces."""
    for key in ("größe/ねこ 猫.json", "naïve – файл.txt"):
        wire.put(key, key.encode())
        same(wire.content(key), key.encode(), "the body")


@CALLS.add("keys with signs", needed=False)
def awkward_keys(wire: Wire) -> None:
    """Keeps keys with signs that have a meaning in an address or a shell."""
    for key in (
        "a+b",
        "a%2Fb",
        "a&b=c",
        "q?#",
        "'\"",
        "(1)*!",
        "x;y:z@,$",
        "tilde~",
        "back\\slash",
    ):
        wire.put(f"signs/{key}", key.encode())
        if wire.content(f"signs/{key}") != key.encode():
            raise No(f"{key} is not kept")


@CALLS.add("keys that end in a slash or hold two", needed=False)
def slash_keys(wire: Wire) -> None:
    """Takes slashes as letters of the key."""
    for key in ("folder/", "two//slashes"):
        answer = wire.send("PUT", key, b"")
        if answer.status != 200 or wire.content(key) is None:
            raise No(f"{key} is not kept ({answer.told})")


@CALLS.add("ranges", needed=False)
def ranges(wire: Wire) -> None:
    """Sends parts of an object, and 416 for one past its end."""
    wire.put("range", b"0123456789")
    for asked, part in {"2-4": b"234", "7-": b"789", "-2": b"89", "8-99": b"89"}.items():
        answer = done(wire.send("GET", "range", headers={"Range": f"bytes={asked}"}), 206)
        same(answer.body, part, f"the range {asked}")
    refused(wire.send("GET", "range", headers={"Range": "bytes=10-"}), 416)


@CALLS.add("copy", needed=False)
def copy(wire: Wire) -> None:
    """Copies within the server."""
    wire.put("from", BODY)
    source = wire.url("from").path
    done(wire.send("PUT", "to", headers={"x-amz-copy-source": source}))
    same(wire.content("to"), BODY, "the copy")


@CALLS.add("user metadata", needed=False)
def metadata(wire: Wire) -> None:
    """Keeps what the user says about an object, at least while it runs."""
    done(wire.send("PUT", "meta", b"1", headers={"x-amz-meta-parley": "kept"}))
    answer = done(wire.send("HEAD", "meta"))
    same(answer.headers.get("x-amz-meta-parley"), "kept", "the metadata")


@CALLS.add("body with a CRC32 header", needed=True)
def checksum(wire: Wire) -> None:
    """Takes the checksum that boto3 sends, and best refuses a wrong one."""
    right = base64.b64encode(zlib.crc32(BODY).to_bytes(4)).decode()
    wrong = base64.b64encode(os.urandom(4)).decode()
    done(wire.send("PUT", "crc", BODY, headers={"x-amz-checksum-crc32": right}))
    answer = wire.send("PUT", "crc-wrong", BODY, headers={"x-amz-checksum-crc32": wrong})
    if answer.status < 400:
        raise Differs("taken, and a wrong one too")
