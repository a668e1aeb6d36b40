"""The port of the metrics."""

import socket
import urllib.request

import pytest
from prometheus_client import start_http_server

from services.rpc import metrics
from services.rpc.settings import EXIT_BAD_SETTINGS


@pytest.fixture
def free_port() -> int:
    """A loopback port that was free just now."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def test_a_taken_port_ends_the_process_with_words(
    free_port: int, capsys: pytest.CaptureFixture[str]
):
    """One line names the port; the exit code is that of bad settings."""
    with socket.create_server(("127.0.0.1", free_port)), pytest.raises(SystemExit) as ended:
        metrics.expose(free_port)
    told = capsys.readouterr().err
    assert ended.value.code == EXIT_BAD_SETTINGS
    assert told.count("\n") == 1
    assert f"127.0.0.1:{free_port}: Address already in use" in told


def test_port_zero_opens_nothing(monkeypatch: pytest.MonkeyPatch):
    """A process without a metrics port never listens for it."""
    opened = []
    monkeypatch.setattr(metrics, "start_http_server", lambda *a, **k: opened.append(a))
    metrics.expose(0)
    assert not opened


def test_the_figures_are_shown_on_loopback(free_port: int, monkeypatch: pytest.MonkeyPatch):
    """The RPC counters stand at /metrics."""
    servers = []

    def start(port: int, addr: str) -> None:
        servers.append(start_http_server(port, addr))

    monkeypatch.setattr(metrics, "start_http_server", start)
    metrics.expose(free_port)
    ((server, thread),) = servers
    try:
        url = f"http://127.0.0.1:{free_port}/metrics"
        with urllib.request.urlopen(url, timeout=5) as answer:
            assert b"parley_rpcs_total" in answer.read()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
