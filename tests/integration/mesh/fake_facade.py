"""A facade for tests of the edge: tells what reached it, or streams numbered lines with gaps.

Run as `python fake_facade.py SOCKET`. A body of {"lines": n, "gap_s": s} asks for a stream, with
"width" of lines of so many characters; one with "patience_s", too, is given up when nobody takes it
for so long, which a file beside SOCKET tells; one with "by_word" sends its next line when a request
for `/v1/models?next` comes, and hangs up where none does. Any other request gets its own method,
path and headers back as JSON.
"""

import io
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer

NEXT = "/v1/models?next"
WORD_S = 10.0


class Server(ThreadingMixIn, UnixStreamServer):
    """One thread per connection."""

    daemon_threads = True
    request_queue_size = 128


class Handler(BaseHTTPRequestHandler):
    """Answers each request by itself."""

    protocol_version = "HTTP/1.1"
    words = threading.Semaphore(0)

    def do_GET(self) -> None:
        """Tells what arrived; lets a stream by word go on."""
        if self.path == NEXT:
            self.words.release()
        self.tell()

    def do_POST(self) -> None:
        """Streams, where the body asks for it."""
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        asked = json.loads(body) if body.startswith(b"{") else {}
        if "patience_s" in asked:
            self.connection.settimeout(asked["patience_s"])
        if "lines" in asked:
            self.stream_or_give_up(asked)
        else:
            self.tell()

    def tell(self) -> None:
        """Answers with method, path and headers, names in lower case."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        told = {"method": self.command, "path": self.path, "headers": headers}
        data = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def stream_or_give_up(self, asked: dict[str, float]) -> None:
        """Hangs up in the midst of a stream that nobody takes."""
        try:
            self.stream(asked)
        except TimeoutError:
            self.close_connection = True
            self.wfile = io.BytesIO()
            Path(f"{sys.argv[1]}.given-up").touch()

    def stream(self, asked: dict[str, float]) -> None:
        """Sends each line in a chunk of its own."""
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        width = int(asked.get("width", 1))
        for number in range(int(asked["lines"])):
            line = f"data: {number:<{width}}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            time.sleep(asked.get("gap_s", 0))
            if "by_word" in asked and not self.words.acquire(timeout=WORD_S):
                raise TimeoutError
        self.wfile.write(b"0\r\n\r\n")

    def address_string(self) -> str:
        """A unix socket's peer has no address."""
        return "unix"

    def log_message(self, format: str, *args: object) -> None:
        """Keeps quiet."""


if __name__ == "__main__":
    Server(sys.argv[1], Handler).serve_forever()
