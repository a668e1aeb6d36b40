"""Other servers of the same model, for a comparison on the same machine in the same run."""

import contextlib
import http.client
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.streams import HttpTarget

READY_S = 180.0


@dataclass(frozen=True)
class Other:
    """Another server, stopped by a signal while it is not being measured: its scheduler polls, and
    would take from the others' time."""

    target: HttpTarget
    process: subprocess.Popen[bytes]

    @contextlib.contextmanager
    def awake(self) -> Iterator[None]:
        """Lets it run meanwhile."""
        self.process.send_signal(signal.SIGCONT)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGSTOP)


@contextlib.contextmanager
def transformers_serve(model_dir: Path) -> Iterator[Other]:
    """`transformers serve --continuous-batching` with the model's own weights, on a free port.

    Raises SystemExit when it does not answer within three minutes, or when its packages are not
    there: they come with the tests' lock.
    """
    if importlib.util.find_spec("accelerate") is None:
        raise SystemExit("parley: --transformers needs the tests' packages: ./parley test --help")
    port = _free_port()
    log = tempfile.TemporaryFile()  # noqa: SIM115 (the child writes to it until it ends)
    command = [
        Path(sys.executable).with_name("transformers"),
        "serve",
        str(model_dir),
        "--continuous-batching",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--device",
        "cpu",
    ]
    process = subprocess.Popen(
        command, stdout=log, stderr=log, env={**os.environ, "HF_HUB_OFFLINE": "1"}
    )
    try:
        _await_answer(process, port, log)
        yield Other(HttpTarget("127.0.0.1", port, "none", str(model_dir), chat=True), process)
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        process.wait()
        log.close()


def _await_answer(process: subprocess.Popen[bytes], port: int, log: object) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.suppress(OSError), contextlib.closing(connection):
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.2)
    log.seek(0)  # type: ignore[attr-defined]
    words = log.read()[-2000:].decode(errors="replace")  # type: ignore[attr-defined]
    raise SystemExit(f"parley: transformers serve did not come up:\n{words}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
