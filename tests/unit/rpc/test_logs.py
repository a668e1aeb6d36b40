"""Log lines: one JSON object each, under an id that cannot forge another line."""

import io
import json
import logging
import sys
import threading

import pytest
import structlog

from services.rpc import logs

HOSTILE = [
    None,
    "",
    "a\nb",
    'good\n{"event": "forged"}',
    "good\n",
    "a b",
    "\x1b[31mred",
    '"',
    "ü",
    "x" * 129,
]


@pytest.fixture(autouse=True)
def fresh():
    """Leaves logging as it was: this process's, not the test's."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch):
    """Gives the lines that were logged."""

    def lines() -> list[dict[str, str]]:
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    logs.configure("example")
    monkeypatch.undo()
    return lines


@pytest.mark.parametrize("given", HOSTILE, ids=ascii)
def test_a_hostile_request_id_is_replaced(given: str | None):
    """What could forge a line, or fill the log, is not written; a fresh id stands there."""
    taken = logs.bind_request_id(given)
    assert taken != given
    assert len(taken) == 32
    assert int(taken, 16)


@pytest.mark.parametrize(
    "given", ["a", "x" * 128, "req_1.2-3", "8a9b6a1e-4c5d-4e6f-8a9b-6a1e4c5d4e6f"]
)
def test_a_good_request_id_is_kept(given: str):
    """The caller finds its own id in our logs."""
    assert logs.bind_request_id(given) == given


def test_each_made_id_is_new():
    """Two requests without an id are two requests."""
    assert logs.bind_request_id(None) != logs.bind_request_id(None)


def test_a_line_holds_what_happened_where_and_for_whom(written):
    """Service, request id, level, time and the event's own values are in one object."""
    logs.bind_request_id("r-1")
    structlog.get_logger().warning("full", waiting=3)
    (line,) = written()
    assert line.pop("timestamp")
    assert line == {
        "event": "full",
        "level": "warning",
        "service": "example",
        "request_id": "r-1",
        "waiting": 3,
    }


def test_the_service_stays_when_a_request_begins(written):
    """Clearing what belongs to a request leaves what belongs to the process."""
    structlog.contextvars.clear_contextvars()
    structlog.get_logger().info("begun")
    assert written()[0]["service"] == "example"


def test_threads_and_libraries_log_alike(written):
    """The standard library's loggers, on any thread, write the same kind of line."""
    thread = threading.Thread(target=logging.getLogger("library").error, args=("hm %d", 5))
    thread.start()
    thread.join()
    (line,) = written()
    assert (line["event"], line["service"], line["level"]) == ("hm 5", "example", "error")


def test_an_exception_stays_on_one_line(written):
    """A traceback is a value of the line, not forty lines that belong to nobody."""
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        structlog.get_logger().error("failed", exc_info=error)
    (line,) = written()
    assert "two\nlines" in line["exception"]
