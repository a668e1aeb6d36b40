"""A stand-in for a service: it answers HTTP on a unix socket and writes down its own life.

    python stand_in.py NAME SOCKET EVENTS [dies | never_ready | when_told | deaf]

`dies` ends at once with words, `never_ready` never answers 200, `when_told` once there is
a file "told" beside EVENTS, `deaf` takes no SIGTERM.
"""

import os
import signal
import socketserver
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path


def main(name: str, socket: str, events: str, manner: str = "") -> None:
    """Lives as told."""

    def note(what: str) -> None:
        with Path(events).open("a") as file:
            file.write(f"{name} {what}\n")

    class Handler(BaseHTTPRequestHandler):
        """Answers every GET."""

        def do_GET(self) -> None:
            """200, or 503 while it is not ready."""
            told = manner == "when_told" and Path(events).with_name("told").exists()
            ready = told or manner not in ("never_ready", "when_told")
            self.send_response(200 if ready else 503)
            self.send_header("content-length", "0")
            self.end_headers()

        def address_string(self) -> str:
            """A unix socket's clients have no address."""
            return "unix"

    note("starts")
    if manner == "dies":
        sys.exit("the model folder is missing")
    Path(socket).unlink(missing_ok=True)
    server = socketserver.ThreadingUnixStreamServer(socket, Handler)

    def stop(*_: object) -> None:
        note("stops")
        os._exit(0)

    signal.signal(signal.SIGTERM, signal.SIG_IGN if manner == "deaf" else stop)
    note("answers")
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
