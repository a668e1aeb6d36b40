"""A jobs service in this process with all that is around it, and short ways to ask it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from parley.jobs.v1 import jobs_pb2 as pb
from parley.jobs.v1 import jobs_pb2_grpc as pb_grpc

from services.jobs import process
from services.jobs.settings import Settings
from services.rpc.channel import open_channel
from tests.contract.calls import WAIT_S, Caller
from tests.fakes.airflow import PASSWORD, USER, FakeAirflow, FakeRun
from tests.fakes.mlflow import FakeMlflow
from tests.fakes.registry_service import FakeRegistry

# Patient: what is tested is what happens, not how fast a shared machine is.
STORE_TIMEOUT_S = 20.0
ROW = '{"messages": [{"role": "user", "content": "Who?"}, '
ROW += '{"role": "assistant", "content": "Ada."}]}\n'
S3_KEYS = "[default]\naws_access_key_id = a\naws_secret_access_key = b\n"


@dataclass
class Around:
    """What a jobs service asks."""

    folder: Path
    database_uri: str
    airflow_url: str
    airflow: FakeAirflow
    mlflow: FakeMlflow
    registry: FakeRegistry

    def settings(self, **changed: Any) -> Settings:
        """What a service is told."""
        password = self.folder / "password"
        password.write_text(PASSWORD, encoding="utf-8")
        password.chmod(0o600)
        keys = self.folder / "s3_keys"
        keys.write_text(S3_KEYS, encoding="utf-8")
        keys.chmod(0o600)
        told: dict[str, Any] = {
            "address": f"unix:{self.folder}/j.sock",
            "health_interval_s": 0,
            "database_uri": self.database_uri,
            "airflow_url": self.airflow_url,
            "airflow_user": USER,
            "airflow_password_file": password,
            "registry_address": f"unix:{self.folder}/r.sock",
            "mlflow_address": f"unix:{self.folder}/m.sock",
            "s3_endpoint": "http://127.0.0.1:1",
            "s3_credentials_file": keys,
            "work_dir": self.folder / "jobs",
            "data_roots": [self.folder],
            "store_timeout_s": STORE_TIMEOUT_S,
            "poll_s": 0.05,
            "idle_poll_s": 0.05,
        }
        return Settings(**told | changed)

    def data(self, text: str = ROW * 20) -> str:
        """Writes data; gives their path."""
        path = self.folder / f"{uuid4().hex}.jsonl"
        path.write_text(text, encoding="utf-8")
        return str(path)


@dataclass
class World(Caller):
    """A running jobs service and a client of it."""

    around: Around
    jobs: process.Jobs
    stub: pb_grpc.JobsStub

    def importing(self, **fields: Any) -> pb.SubmitJobRequest:
        """A request for a job that needs no data: a model from the hub."""
        work = pb.ImportModelSpec(model="acme", source="hub:acme/one", **fields)
        return pb.SubmitJobRequest(spec=pb.JobSpec(import_model=work), request_id=str(uuid4()))

    async def submit(self, request: pb.SubmitJobRequest | None = None, as_: str = "ada") -> Any:
        """Submits a job; gives it."""
        return (await self.ask("SubmitJob", request or self.importing(), as_)).job

    async def get(self, job_id: str) -> Any:
        """Gets a job."""
        return (await self.ask("GetJob", pb.GetJobRequest(id=job_id))).job

    async def cancel(self, job_id: str) -> Any:
        """Cancels a job; gives it."""
        return (await self.ask("CancelJob", pb.CancelJobRequest(id=job_id, reason="Enough."))).job

    async def retry(self, job_id: str) -> Any:
        """Tries a job again; gives it."""
        return (await self.ask("RetryJob", pb.RetryJobRequest(id=job_id))).job

    async def report(self, job_id: str, task: str, attempt: str, sequence: int, **rest: Any) -> Any:
        """Reports as a task's process does; gives the answer."""
        request = pb.ReportProgressRequest(
            job_id=job_id, task=task, attempt=attempt, sequence=sequence, **rest
        )
        return await self.ask("ReportProgress", request)

    async def until(self, job_id: str, holds: Callable[[Any], bool]) -> Any:
        """Waits until something holds for a job; gives it."""
        async with asyncio.timeout(WAIT_S):
            while not holds(job := await self.get(job_id)):  # noqa: ASYNC110 (a poll of a peer)
                await asyncio.sleep(0.02)
        return job

    async def until_state(self, job_id: str, state: int) -> Any:
        """Waits until a job is in a state; gives it."""
        return await self.until(job_id, lambda job: job.state == state)

    async def run(self, job_id: str) -> FakeRun:
        """Waits for a job's run in Airflow; gives it."""
        async with asyncio.timeout(WAIT_S):
            while job_id not in self.around.airflow.runs:  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.02)
        return self.around.airflow.runs[job_id]

    async def submitted(self, request: pb.SubmitJobRequest | None = None) -> tuple[Any, FakeRun]:
        """Submits a job and waits for its run."""
        job = await self.submit(request)
        return job, await self.run(job.id)

    async def watch(self, job_id: str, revision: int = 0) -> list[Any]:
        """Watches a job to its end; gives all messages."""
        call = self.stub.WatchJob(pb.WatchJobRequest(id=job_id, revision=revision), timeout=WAIT_S)
        return [message async for message in call]


@asynccontextmanager
async def open_world(around: Around, **changed: Any) -> AsyncIterator[World]:
    """Runs a jobs service for one test, as soon as its database is ready."""
    settings = around.settings(**changed)
    async with process.start(settings) as jobs, open_channel(settings.address) as channel:
        async with asyncio.timeout(WAIT_S):
            await jobs.store.opened.wait()
        yield World(around, jobs, pb_grpc.JobsStub(channel))
        jobs.watch.close()
        await jobs.server.grpc.stop(0)
