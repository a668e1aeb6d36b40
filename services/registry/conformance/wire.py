"""Signed S3 requests, byte for byte as they are meant, and their bare answers.

Below any S3 client, because a client hides what a server does. Knows no call's meaning.
"""

import hashlib
import http.client
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import SplitResult, quote, urlencode, urlsplit
from xml.etree import ElementTree

from minio.credentials import Credentials
from minio.signer import presign_v4, sign_v4_s3
from minio.time import to_amz_date

from services.objects.s3_credentials import S3Credentials
from services.registry.conformance.verdict import No

TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """S3's name of the error, if the body has one."""
        found = re.search(rb"<Code>(\w+)</Code>", self.body)
        return found[1].decode() if found else ""

    @property
    def told(self) -> str:
        """Status and error's name, for a report."""
        return f"{self.status} {self.code}".strip()

    def texts(self, tag: str) -> list[str]:
        """The texts of all elements with this name, whatever their namespace."""
        root = ElementTree.fromstring(self.body)  # noqa: S314 (expat bounds entity expansion)
        return [item.text or "" for item in root.iter() if item.tag.rpartition("}")[2] == tag]

    def text(self, tag: str) -> str:
        """The text of the first such element."""
        found = self.texts(tag)
        if not found:
            raise No(f"the answer has no {tag}")
        return found[0]


@dataclass(frozen=True)
class Wire:
    """One server, bucket and pair of keys. All objects of a run lie below `prefix`."""

    endpoint: str
    region: str
    bucket: str
    prefix: str
    keys: S3Credentials = field(repr=False)

    def with_keys(self, access_key: str, secret_key: str) -> "Wire":
        """The same server, spoken to with other keys."""
        return replace(self, keys=S3Credentials(access_key, secret_key))

    def url(self, key: str | None, query: Mapping[str, str] | None = None) -> SplitResult:
        """The address of an object below the prefix; None for the bucket's own."""
        server = urlsplit(self.endpoint)
        path = f"/{self.bucket}" if key is None else f"/{self.bucket}/{self.prefix}{key}"
        asked = urlencode(query or {}, quote_via=quote, safe="~")
        return SplitResult(server.scheme, server.netloc, quote(path, safe="/~"), asked, "")

    def send(
        self,
        method: str,
        key: str | None,
        body: bytes = b"",
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        sha256: str | None = None,
    ) -> Answer:
        """Sends a signed request; `sha256` says of the body what is not so."""
        return exchange(
            method, *self.signed(method, self.url(key, query), body, headers, sha256), body
        )

    def signed(
        self,
        method: str,
        url: SplitResult,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        sha256: str | None = None,
    ) -> tuple[SplitResult, dict[str, Any]]:
        """Makes the headers of a signed request."""
        now = datetime.now(UTC)
        digest = sha256 or hashlib.sha256(body).hexdigest()
        all_headers = {
            **(headers or {}),
            "Host": url.netloc,
            "x-amz-content-sha256": digest,
            "x-amz-date": to_amz_date(now),
        }
        return url, dict(
            sign_v4_s3(
                method=method,
                url=url,
                region=self.region,
                headers=all_headers,
                credentials=Credentials(self.keys.access_key, self.keys.secret_key),
                content_sha256=digest,
                date=now,
            )
        )

    def presigned(
        self, method: str, key: str, expires_s: int = 60, at: datetime | None = None
    ) -> SplitResult:
        """Makes an address that needs no keys until it expires, counted from `at` or now."""
        return presign_v4(
            method=method,
            url=self.url(key),
            region=self.region,
            credentials=Credentials(self.keys.access_key, self.keys.secret_key),
            date=at or datetime.now(UTC),
            expires=expires_s,
        )

    def put(self, key: str, body: bytes) -> None:
        """Stores what a call needs to be there."""
        answer = self.send("PUT", key, body)
        if answer.status != 200:
            raise No(f"a plain PUT was answered with {answer.told}")

    def content(self, key: str) -> bytes | None:
        """An object's bytes, or None where there is none."""
        answer = self.send("GET", key)
        return answer.body if answer.status == 200 else None


def exchange(
    method: str, url: SplitResult, headers: Mapping[str, str], body: bytes = b""
) -> Answer:
    """Sends one request on a connection of its own."""
    connection = _connection(url)
    try:
        connection.putrequest(method, _target(url), skip_host=True, skip_accept_encoding=True)
        for name, value in {"Host": url.netloc, **headers}.items():
            connection.putheader(name, value)
        if body or method in ("PUT", "POST"):
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        return _answer(connection)
    finally:
        connection.close()


def send_half(
    method: str, url: SplitResult, headers: Mapping[str, str], body: bytes
) -> Answer | None:
    """Sends half of a body whose whole length it told, then hangs up; None when nothing came."""
    connection = _connection(url)
    try:
        connection.putrequest(method, _target(url), skip_host=True, skip_accept_encoding=True)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            connection.putheader(name, value)
        connection.endheaders(body[: len(body) // 2])
        connection.sock.shutdown(socket.SHUT_WR)
        return _answer(connection)
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _answer(connection: http.client.HTTPConnection) -> Answer:
    try:
        response = connection.getresponse()
        named = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, named, response.read())
    except http.client.HTTPException as error:
        raise ConnectionError(type(error).__name__) from error


def _connection(url: SplitResult) -> http.client.HTTPConnection:
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    return kind(url.netloc, timeout=TIMEOUT_S)


def _target(url: SplitResult) -> str:
    return f"{url.path}?{url.query}" if url.query else url.path
