"""Registry processes that die where they are told to, and a client that outlives them."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from parley.registry.v1 import registry_pb2_grpc as pb_grpc

from services.rpc.channel import open_channel
from stack.environment.places import ROOT

WAIT_S = 60.0


@dataclass
class Processes:
    """One registry at a time, on the same stores."""

    folder: Path
    database_uri: str
    mlflow_address: str

    @asynccontextmanager
    async def running(self, fail_at: str = "") -> AsyncIterator["Client"]:
        """Runs a registry; kills it in the end."""
        told = {
            "ADDRESS": f"unix:{self.folder}/p.sock",
            "DATABASE_URI": self.database_uri,
            "MLFLOW_ADDRESS": self.mlflow_address,
            "S3_ENDPOINT": "http://127.0.0.1:1",
            "S3_CREDENTIALS_FILE": f"{self.folder}/none",
            "IMPORTS_DIR": str(self.folder),
            "STORE_TIMEOUT_S": "20",
            "FAIL_AT": fail_at,
        }
        environment = {f"PARLEY_REGISTRY_{name}": value for name, value in told.items()}
        command = [sys.executable, "-m", "tests.integration.registry.registry_process"]
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(  # noqa: ASYNC220 (it only starts)
                command, cwd=ROOT, stdout=log, stderr=log,
                env={"PATH": os.defpath, **environment},
            )  # fmt: skip
        try:
            async with open_channel(told["ADDRESS"]) as channel:
                yield Client(process, pb_grpc.RegistryStub(channel))
        finally:
            process.kill()
            await asyncio.to_thread(process.wait)


@dataclass
class Client:
    """Asks one process."""

    process: subprocess.Popen[bytes]
    stub: pb_grpc.RegistryStub

    async def ask(self, method: str, request: Any) -> Any:
        """Calls, as often as it takes while the process starts. None when it died of it."""
        async with asyncio.timeout(WAIT_S):
            while self.process.poll() is None:
                try:
                    return await getattr(self.stub, method)(request, timeout=WAIT_S)
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        raise
                    await asyncio.sleep(0.1)
        return None

    async def died(self) -> int:
        """Waits for the end of the process; gives its exit code."""
        return await asyncio.to_thread(self.process.wait, WAIT_S)
