"""A registry, a replica, jobs and feedback behind one socket, and the command line before them."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from parley.serving.v1 import model_serving_pb2 as serving_pb
from typer.testing import CliRunner

from stack import job_client, registry
from stack.cli import app
from tests.fakes import serving as fake
from tests.fakes.feedback_service import FakeFeedback
from tests.fakes.jobs_service import FakeJobs
from tests.fakes.registry_service import FakeRegistry

START_WITHIN_S = 10.0
DATASET = "d" * 64


@dataclass
class Mesh:
    """What the command line talks with."""

    address: str
    registry: FakeRegistry
    serving: fake.FakeServing
    jobs: FakeJobs
    feedback: FakeFeedback


@pytest.fixture
def mesh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mesh]:
    """Runs all, and leads connections there; the name given with --as is the key."""
    made = Mesh(
        f"unix:{tmp_path}/mesh.sock", FakeRegistry(), fake.FakeServing(), FakeJobs(), FakeFeedback()
    )
    made.registry.clients = {name: name for name in ("ann", "bob")}

    @contextmanager
    def connect(as_name: str | None = None) -> Iterator[registry.Registry]:
        with registry.Registry(made.address, as_name or "key", [made.address]) as known:
            yield known

    monkeypatch.setattr(registry, "connect", connect)
    _lead_jobs(made, monkeypatch)
    with _running(made):
        yield made


def _lead_jobs(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    def leading(kind: type) -> Callable[..., Any]:
        return lambda as_name=None: kind(mesh.address, as_name or "key")

    monkeypatch.setattr(job_client, "connect", leading(job_client.Jobs))
    monkeypatch.setattr(job_client, "connect_feedback", leading(job_client.Feedback))
    monkeypatch.setattr(job_client, "PAUSE_S", 0.01)


@contextmanager
def _running(mesh: Mesh) -> Iterator[None]:
    """Serves from a thread of its own: the commands block, as commands do."""
    loop, started = asyncio.new_event_loop(), threading.Event()

    async def serve(stop: asyncio.Event) -> None:
        server = await fake.start(
            mesh.address, mesh.serving, mesh.registry, mesh.jobs, mesh.feedback
        )
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


@pytest.fixture
def two(mesh: Mesh) -> Mesh:
    """A model with two versions, of which the first is the champion; the replica has both."""
    for number in (1, 2):
        mesh.registry.add_version("m", metrics={"accuracy": number / 10}, dataset_digest=DATASET)
    mesh.registry.models["m"].champion = 1
    mesh.serving.script.models = [
        serving_pb.LoadedModel(
            model="m", version=str(number), state=serving_pb.MODEL_STATE_READY, revision=99
        )
        for number in (1, 2)
    ]
    return mesh
