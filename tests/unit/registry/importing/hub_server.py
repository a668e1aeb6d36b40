"""A hub on a loopback port: speaks the two routes, and misbehaves when told to."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

COMMIT = "0123456789" * 4
WHOLE = 0


class Hub:
    """One model, `owner/name`, at one commit."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.listing: dict[str, Any] | None = None
        self.asked: list[tuple[str, str]] = []
        # Bytes of a file's answer after which the connection ends, taken one after another.
        self.cuts: list[int] = []
        self.redirect = ""
        self.address = ""

    def fill(self, folder: Path) -> None:
        """Takes a folder's files."""
        self.files.update({path.name: path.read_bytes() for path in folder.iterdir()})

    def _listing(self) -> dict[str, Any]:
        siblings = [
            {"rfilename": name, "size": len(data)}
            | ({"lfs": {"sha256": hashlib.sha256(data).hexdigest()}} if "." in name else {})
            for name, data in self.files.items()
        ]
        return {"sha": COMMIT, "siblings": siblings}

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Hub"]:
        """Listens for as long as the block lasts."""
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        async with server:
            self.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield self

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
            path = head[0].split()[1]
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            self.asked.append((path, headers.get("range", "")))
            writer.write(self._reply(path, headers.get("range", "")))
            await writer.drain()
        writer.close()

    def _reply(self, path: str, span: str) -> bytes:
        if path.startswith("/api/models/owner/name/revision/main?"):
            return _message("200 OK", json.dumps(self.listing or self._listing()).encode())
        name = path.removeprefix(f"/owner/name/resolve/{COMMIT}/")
        if path.startswith("/cdn/"):
            name = path.removeprefix("/cdn/")
        elif self.redirect and name in self.files:
            return _message("302 Found", b"", f"location: {self.redirect}{name}\r\n")
        if name not in self.files:
            return _message("404 Not Found", b"")
        data = self.files[name]
        start = int(span.removeprefix("bytes=").removesuffix("-") or 0)
        more = f"content-range: bytes {start}-{len(data) - 1}/{len(data)}\r\n" if start else ""
        whole = _message("206 Partial Content" if start else "200 OK", data[start:], more)
        cut = self.cuts.pop(0) if self.cuts else WHOLE
        return whole[: whole.index(b"\r\n\r\n") + 4 + cut] if cut else whole


def _message(status: str, body: bytes, more: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n{more}\r\n"
    return head.encode() + body
