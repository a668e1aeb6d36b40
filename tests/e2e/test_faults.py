"""Clients that leave and processes that die, against the running small stack."""

import json
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from stack.up import Running

from .conftest import client_of
from .replica import ReplicaProbe

MODEL = "talkative"
# Bounds for a busy machine; `./parley bench --faults` measures on a quiet one.
SLOT_FREE_S = 2.0
BACK_S = 20.0


@pytest.fixture
def probe(small: Running) -> Iterator[ReplicaProbe]:
    """The small stack's replica, idle at the start."""
    with ReplicaProbe(small) as found:
        found.idle_s(within_s=30)
        yield found


class RawStream:
    """One streamed completion on a bare socket, so that it can be left at any byte."""

    def __init__(self, running: Running, tokens_max: int = 900) -> None:
        body = json.dumps({
            "model": MODEL, "prompt": "Go on", "max_tokens": tokens_max, "temperature": 0,
            "stream": True,
        })  # fmt: skip
        self._socket = socket.create_connection(("127.0.0.1", running.plan.ports.edge), timeout=30)
        self._socket.sendall(
            f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: Bearer {running.api_key}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()
        )
        self.seen = b""

    def __enter__(self) -> "RawStream":
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves without a word."""
        self._socket.close()

    def read_events(self, count: int) -> int:
        """Reads until that many events have come, or the end; returns how many there were."""
        while self.seen.count(b"data: ") < count and (piece := self._socket.recv(65536)):
            self.seen += piece
        return self.seen.count(b"data: ")

    def read_all(self) -> str:
        """Reads to the end, however it comes."""
        while piece := self._socket.recv(65536):
            self.seen += piece
        return self.seen.decode()


def test_leaving_frees_the_slot(small: Running, probe: ReplicaProbe):
    """Each of 200 clients that leave at token 5 frees the engine."""
    for _ in range(200):
        with RawStream(small) as stream:
            assert stream.read_events(5) >= 5
        probe.idle_s(within_s=SLOT_FREE_S)


def test_random_leaving_leaks_nothing(small: Running, probe: ReplicaProbe):
    """After 32 streams have come and gone at random for 10 s, no slot, file or process is lost."""
    replica, engine = probe.process(), probe.engine()
    files = replica.num_fds(), engine.num_fds()
    until_s = time.monotonic() + 10
    threads = [threading.Thread(target=_come_and_go, args=(small, seed, until_s))
               for seed in range(32)]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    probe.idle_s(within_s=10)
    assert probe.engine().pid == engine.pid
    assert engine.num_fds() == files[1]
    assert replica.num_fds() <= files[0] + 5


def _come_and_go(running: Running, seed: int, until_s: float) -> None:
    chance = random.Random(seed)
    while time.monotonic() < until_s:
        with RawStream(running, tokens_max=chance.randint(1, 300)) as stream:
            stream.read_events(chance.randint(0, 20))


def test_leaving_an_unstreamed_answer_frees_the_slot(small: Running, probe: ReplicaProbe):
    """A client that gives up waiting for a whole answer leaves nothing running."""
    body = {"model": MODEL, "prompt": "Go", "max_tokens": 1900, "temperature": 0}
    headers = {"authorization": f"Bearer {small.api_key}"}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{small.base_url}/completions", json=body, headers=headers, timeout=0.3)
    probe.idle_s(within_s=SLOT_FREE_S)


@pytest.mark.parametrize("victim", ["engine", "replica"])
def test_a_killed_process_is_back_in_seconds(small: Running, probe: ReplicaProbe, victim: str):
    """A stream goes on with the only replica once that is back, or else gets the error frame, but
    never a clean end; a new request is answered."""
    with RawStream(small, tokens_max=1900) as stream:
        whole = _text(stream.read_all())
    process = probe.engine() if victim == "engine" else probe.process()
    with RawStream(small, tokens_max=1900) as stream:
        assert stream.read_events(3) >= 3
        process.send_signal(signal.SIGKILL)
        killed_s = time.monotonic()
        ending = stream.read_all()
    if '"error"' in ending:
        assert victim == "replica", "an engine is back long before a stream gives up"
        assert "[DONE]" not in ending
        assert '"finish_reason":"' not in ending
    else:
        assert "[DONE]" in ending
        assert _text(ending) == whole
    with client_of(small, max_retries=5) as client:
        answer = client.completions.create(model=MODEL, prompt="Hi", max_tokens=3, temperature=0)
    assert answer.usage.completion_tokens > 0
    assert time.monotonic() - killed_s < BACK_S


def _text(seen: str) -> str:
    """The text of the events in a reply."""
    _, _, rest = seen.encode().partition(b"\r\n\r\n")
    body = b""
    while rest:
        # HTTP's chunks may end anywhere.
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        body, rest = body + rest[:length], rest[length + 2 :]
    frames = [line for line in body.decode().split("\n\n") if line.startswith('data: {"id"')]
    return "".join(json.loads(frame[6:])["choices"][0]["text"] for frame in frames)
