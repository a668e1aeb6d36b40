"""How the parts of a program are asked for that another one knows of."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from stack import readiness
from stack.plan import Probe

HEALTH = {
    "metadatabase": {"status": "healthy"},
    "scheduler": {"status": "healthy", "latest_scheduler_heartbeat": "2026-01-01T00:00:00Z"},
    "triggerer": {"status": "unhealthy", "latest_triggerer_heartbeat": "2026-01-01T00:00:00Z"},
    "dag_processor": {"status": None, "latest_dag_processor_heartbeat": None},
}


@contextmanager
def answering(body: bytes) -> Iterator[str]:
    """The address of a server that answers everything alike."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/health"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("scheduler", ""),
        ("triggerer", readiness.SILENT),
        ("dag_processor", readiness.SILENT),
        ("gardener", readiness.UNTOLD),
        ("", ""),
    ],
)
def test_a_part_is_as_it_is_told_of(part: str, words: str):
    """One that is silent is seen, though the one that tells of it answers well."""
    with answering(json.dumps(HEALTH).encode()) as url:
        assert readiness.ask(Probe("http", url, part=part)) == words


def test_an_answer_that_is_none_tells_of_nothing():
    """Somebody else listens there."""
    with answering(b"<html>") as url:
        assert readiness.ask(Probe("http", url, part="scheduler")) == readiness.UNTOLD


def test_a_part_is_unknown_while_nobody_tells():
    """In the probe's own words."""
    with answering(b"") as url:
        pass
    probe = Probe("http", url, part="scheduler", waiting="unknown")
    assert readiness.ask(probe) == "unknown"
