"""An HTTP server of files as an object store gives them: ranges, addresses that expire, faults."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

RANGE = re.compile(r"bytes=(\d+)-$")


@dataclass
class FileServer:
    """Serves files by name. A test may change any of it at any time."""

    port: int = 0
    files: dict[str, Path] = field(default_factory=dict)
    # Sent in place of what is there.
    replaced: dict[str, bytes] = field(default_factory=dict)
    # Addresses that were made before are refused.
    generation: int = 0
    # The next answers end after so many bytes, one each.
    breaks: list[int] = field(default_factory=list)
    # Whether ranges are passed over, as a simple server does.
    without_ranges: bool = False
    # Name and first byte of each answer.
    served: list[tuple[str, int]] = field(default_factory=list)

    def url(self, name: str) -> str:
        """An address that is good until the generation changes."""
        return f"http://127.0.0.1:{self.port}/{quote(name)}?generation={self.generation}"

    def expire(self) -> None:
        """Makes all addresses bad that were given so far."""
        self.generation += 1

    def body(self, name: str) -> bytes | None:
        """What is sent as a file."""
        if name in self.replaced:
            return self.replaced[name]
        return self.files[name].read_bytes() if name in self.files else None


@contextmanager
def file_server() -> Iterator[FileServer]:
    """Runs a server on a loopback port."""
    shown = FileServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _answer(self, shown)

        def log_message(self, format: str, *arguments: object) -> None:
            """Tests look at `served`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    shown.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield shown
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(handler: BaseHTTPRequestHandler, shown: FileServer) -> None:
    parts = urlsplit(handler.path)
    name = parts.path.removeprefix("/")
    body = shown.body(name)
    if parse_qs(parts.query).get("generation") != [str(shown.generation)]:
        handler.send_error(HTTPStatus.FORBIDDEN)
        return
    if body is None:
        handler.send_error(HTTPStatus.NOT_FOUND)
        return
    wanted = RANGE.match(handler.headers.get("Range", ""))
    start = int(wanted[1]) if wanted and not shown.without_ranges else 0
    if start >= len(body) > 0:
        handler.send_error(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
        return
    handler.send_response(HTTPStatus.PARTIAL_CONTENT if start else HTTPStatus.OK)
    if start:
        handler.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
    handler.send_header("Content-Length", str(len(body) - start))
    handler.end_headers()
    shown.served.append((name, start))
    end = start + shown.breaks.pop(0) if shown.breaks else len(body)
    handler.wfile.write(body[start:end])
