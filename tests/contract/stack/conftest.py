"""A registry and a replica behind one socket, and the command line before them."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from stack import registry
from stack.cli import app
from tests.fakes import serving as fake
from tests.fakes.registry_service import FakeRegistry

START_WITHIN_S = 10.0


@dataclass
class Mesh:
    """What the command line talks with."""

    address: str
    registry: FakeRegistry
    serving: fake.FakeServing


@pytest.fixture
def mesh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mesh]:
    """Runs both, and leads `registry.connect` there; the name given with --as is the key."""
    made = Mesh(f"unix:{tmp_path}/mesh.sock", FakeRegistry(), fake.FakeServing())
    made.registry.clients = {name: name for name in ("ann", "bob")}

    @contextmanager
    def connect(as_name: str | None = None) -> Iterator[registry.Registry]:
        with registry.Registry(made.address, as_name or "key", [made.address]) as known:
            yield known

    monkeypatch.setattr(registry, "connect", connect)
    with _running(made):
        yield made


@contextmanager
def _running(mesh: Mesh) -> Iterator[None]:
    """Serves from a thread of its own: the commands block, as commands do."""
    loop, started = asyncio.new_event_loop(), threading.Event()

    async def serve(stop: asyncio.Event) -> None:
        server = await fake.start(mesh.address, mesh.serving, mesh.registry)
        started.set()
        await stop.wait()
        await server.grpc.stop(None)

    stop = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve(stop)))
    thread.start()
    assert started.wait(START_WITHIN_S)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@pytest.fixture
def parley() -> Callable[..., Result]:
    """Runs one command off a terminal."""
    return lambda *arguments: CliRunner().invoke(app, arguments, prog_name="./parley")
