"""Jobs services as processes, which can be made to die at a point, and clients of them."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from parley.jobs.v1 import jobs_pb2 as pb
from parley.jobs.v1 import jobs_pb2_grpc as pb_grpc

from services.rpc.channel import open_channel
from stack.environment.places import ROOT
from tests.contract.jobs.worlds import WAIT_S, Around

SETTINGS = (
    "address",
    "health_interval_s",
    "database_uri",
    "airflow_url",
    "airflow_user",
    "airflow_password_file",
    "registry_address",
    "mlflow_address",
    "s3_endpoint",
    "s3_credentials_file",
    "work_dir",
    "store_timeout_s",
    "poll_s",
)


@dataclass
class Client:
    """One process, and a client of it."""

    process: asyncio.subprocess.Process
    stub: pb_grpc.JobsStub

    async def ask(self, method: str, request: Any) -> Any:
        """Calls a method; None where the process died of it."""
        try:
            return await getattr(self.stub, method)(request, timeout=WAIT_S, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return None

    async def get(self, job_id: str) -> Any:
        """Gets a job; None where the process died."""
        answer = await self.ask("GetJob", pb.GetJobRequest(id=job_id))
        return answer and answer.job

    async def until_state(self, job_id: str, *states: int) -> Any:
        """Waits until a job is in one of some states."""
        async with asyncio.timeout(WAIT_S):
            while True:
                job = await self.get(job_id)
                if job is not None and job.state in states:
                    return job
                await asyncio.sleep(0.05)

    async def until_ready(self) -> None:
        """Waits until its database is ready."""
        async with asyncio.timeout(WAIT_S):
            while await self.ask("ListJobs", pb.ListJobsRequest()) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def died(self) -> int:
        """Waits for the process's end; gives its status."""
        async with asyncio.timeout(WAIT_S):
            return await self.process.wait()


@asynccontextmanager
async def running(around: Around, fail_at: str = "") -> AsyncIterator[Client]:
    """Runs one process."""
    settings = around.settings()
    told = {f"PARLEY_JOBS_{name.upper()}": str(getattr(settings, name)) for name in SETTINGS}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.jobs",
        cwd=ROOT,
        env={**os.environ, **told, "PARLEY_JOBS_FAIL_AT": fail_at},
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        async with open_channel(settings.address) as channel:
            client = Client(process, pb_grpc.JobsStub(channel))
            await client.until_ready()
            yield client
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
