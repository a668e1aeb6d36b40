"""What jobs' tasks work with: a real S3 server, a Registry and a Jobs in memory, and models."""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from minio import Minio
from parley.jobs.v1.jobs_pb2_grpc import add_JobsServicer_to_server
from parley.registry.v1 import registry_pb2 as pb

from stack.environment.places import ROOT
from tests.fakes import registry_service
from tests.fakes.jobs import FakeJobs
from tests.integration.s3 import servers
from tests.integration.s3.conftest import rclone, running
from training.tuning.base import folder_digest

TASK_S = 600


class Registry(registry_service.FakeRegistry):
    """Knows the digests of real folders, and keeps the evidence of imports."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: dict[str, pb.ImportModelRequest] = {}

    async def ImportModel(self, request: pb.ImportModelRequest, context: Any) -> Any:
        """Remembers what was asked."""
        self.asked[request.request_id] = request
        return await super().ImportModel(request, context)

    async def GetImport(self, request: pb.GetImportRequest, context: Any) -> Any:
        """A version that is done has its evidence."""
        told = await super().GetImport(request, context)
        done = getattr(told, "import")
        if done.number:
            version = self.versions[done.model][done.number - 1]
            version.evidence.CopyFrom(self.asked[request.id].evidence)
            version.digest = self.asked[request.id].expected_digest
        return told


@dataclass
class World:
    """All of it, and the settings by which tasks find it."""

    folder: Path
    s3: servers.Server
    registry: Registry = field(default_factory=Registry)
    jobs: FakeJobs = field(default_factory=FakeJobs)
    more: dict[str, str] = field(default_factory=dict)
    before: list[str] = field(default_factory=list)
    """What each command of a job is run by, a mount namespace for example."""

    @property
    def settings(self) -> dict[str, str]:
        """The tasks' environment."""
        told = {
            "WORK_DIR": str(self.folder / "work"),
            "JOBS_ADDRESS": f"unix:{self.folder}/jobs.sock",
            "REGISTRY_ADDRESS": f"unix:{self.folder}/registry.sock",
            "S3_ENDPOINT": self.s3.endpoint,
            "S3_CREDENTIALS_FILE": str(self.s3.credentials_file),
            **self.more,
        }
        named = {f"PARLEY_TRAINING_{name}": value for name, value in told.items()}
        return {"PATH": "/usr/bin:/bin", "HOME": str(self.folder), **named}

    @property
    def bucket(self) -> Minio:
        """The object store."""
        keys = self.s3.keys
        return Minio(
            f"127.0.0.1:{self.s3.port}",
            access_key=keys.access_key,
            secret_key=keys.secret_key,
            secure=False,
            region="us-east-1",
        )

    def add_model(self, name: str, folder: Path, **evidence: Any) -> pb.ModelVersion:
        """Stores a model folder, and makes it the champion of its model."""
        digest = self.store_model(folder)
        version = self.registry.add_version(name, **evidence)
        version.digest = digest
        version.aliases[:] = ["champion"]
        self.registry.models[name].champion = version.number
        return version

    def store_model(self, folder: Path) -> str:
        """Stores a model folder as the registry does, and returns its digest."""
        digest = folder_digest(folder)
        for path in folder.iterdir():
            if path.is_file():
                key = f"models/{digest}/{path.name}"
                self.bucket.fput_object(servers.BUCKET, key, str(path))
        return digest

    def start(
        self, kind: str, conf: Mapping[str, Any], job_id: str, module: str = "training.tasks.run"
    ) -> subprocess.Popen[str]:
        """Runs a job's tasks in a process of their own."""
        return subprocess.Popen(
            [*self.before, sys.executable, "-m", module, kind, json.dumps(conf), "--id", job_id],
            cwd=ROOT,
            env=self.settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(
        self, kind: str, conf: Mapping[str, Any], job_id: str, **module: str
    ) -> tuple[int, str]:
        """The same, to its end: exit status and output."""
        process = self.start(kind, conf, job_id, **module)
        try:
            output, _ = process.communicate(timeout=TASK_S)
        finally:
            process.kill()
        return process.returncode, output


@contextmanager
def running_world(folder: Path) -> Iterator[World]:
    """Starts everything, and ends it."""
    with running(rclone(), folder / "s3") as s3:
        world = World(folder, s3)
        with _registry(world), _jobs(world):
            yield world


@contextmanager
def _registry(world: World) -> Iterator[None]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def wait(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(30)

    address = f"unix:{world.folder}/registry.sock"
    server = wait(registry_service.start(address, world.registry))
    try:
        yield
    finally:
        wait(server.grpc.stop(0))
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@contextmanager
def _jobs(world: World) -> Iterator[None]:
    server = grpc.server(ThreadPoolExecutor(2))
    add_JobsServicer_to_server(world.jobs, server)
    server.add_insecure_port(f"unix:{world.folder}/jobs.sock")
    server.start()
    try:
        yield
    finally:
        server.stop(0).wait(10)
