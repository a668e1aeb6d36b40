"""How a new version takes traffic under load, and what chats notice of stores that are away.

A whole Parley of its own, with its stores: two versions of random weights for the promotion, the
starter model for the chats. The streams are the bench's own clients; the registry is asked as the
command line asks it.
"""

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
from parley.registry.v1 import registry_pb2 as pb
from parley.registry.v1 import registry_pb2_grpc as pb_grpc

from bench.figures import Deployment, Outage
from bench.streams import DATA, HttpTarget
from services.rpc.channel import CLIENT_OPTIONS, call_metadata
from stack import keys, up
from stack.home import STARTER, Home
from stack.supervisor import Supervisor
from training import shapes

MODEL = "bench"
STREAMS = 32
CHATS = 4
TOKENS = 200
PROMPT = [300 + n for n in range(16)]
STORES = ("postgres", "s3", "mlflow")
WAIT_S_MAX = 120.0
POLL_S = 0.01
PROBE_EVERY_S = 1.0


def measure(folder: Path, starter: Path, outage_s: float) -> Deployment:
    """Starts a Parley in `folder`, measures, and stops it."""
    home = Home(folder / "home")
    home.prepare()
    shutil.copytree(starter, home.starter_model)
    running = up.start(home)
    try:
        return asyncio.run(_Bench(running).measure(folder, outage_s))
    finally:
        up.stop(home)


class _Bench:
    """One running Parley, its registry and its clients."""

    def __init__(self, running: up.Running) -> None:
        self._running = running
        self._supervisor = Supervisor(running.plan.home)

    async def measure(self, folder: Path, outage_s: float) -> Deployment:
        """Everything, one after the other."""
        options = [*CLIENT_OPTIONS]
        async with grpc.aio.insecure_channel(self._running.mesh_address, options=options) as opened:
            self._stub = pb_grpc.RegistryStub(opened)
            for number in (1, 2):
                shapes.make_random_model(folder / f"v{number}", shapes.TINY_SHAPE, seed=number)
                await self._import(folder / f"v{number}", number)
            await self._promote(1, 0)
            await self._until_version(1)
            promote_s, rollback_s, streams, failed = await self._switch()
            outages = [await self._outage(store, outage_s) for store in STORES]
        return Deployment(promote_s, rollback_s, streams, failed, tuple(outages))

    async def _switch(self) -> tuple[float, float, int, int]:
        """Promotes and rolls back under streams; seconds to the first token of each, and counts."""
        async with _load(self._target(MODEL), STREAMS, TOKENS) as counts:
            await asyncio.sleep(PROBE_EVERY_S)
            began_s = time.perf_counter()
            await self._promote(2, 1)
            await self._until_version(2)
            promote_s = time.perf_counter() - began_s
            began_s = time.perf_counter()
            await self._call(
                "RollbackModel",
                pb.RollbackModelRequest(model=MODEL, expected_champion=2, request_id=_id()),
            )
            await self._until_version(1)
            rollback_s = time.perf_counter() - began_s
        return round(promote_s, 2), round(rollback_s, 2), counts["streams"], counts["failed"]

    async def _outage(self, store: str, seconds: float) -> Outage:
        """Stops a store for a while; chats go on, and the registry is asked each second."""
        refusals_s: list[float] = []
        async with _load(self._target(STARTER), CHATS, 16) as counts:
            self._supervisor.stop(store)
            until_s = time.perf_counter() + seconds
            while time.perf_counter() < until_s:
                began_s = time.perf_counter()
                if await self._reconcile() is grpc.StatusCode.UNAVAILABLE:
                    refusals_s.append(time.perf_counter() - began_s)
                await asyncio.sleep(PROBE_EVERY_S)
            began_s = time.perf_counter()
            self._supervisor.start(store)
            while await self._reconcile() is not grpc.StatusCode.OK:
                if time.perf_counter() - began_s > WAIT_S_MAX:
                    raise SystemExit(f"parley: the registry is not well again without {store}")
                await asyncio.sleep(POLL_S)
            back_s = time.perf_counter() - began_s
        slowest_s = max(refusals_s, default=0.0)
        return Outage(
            store,
            seconds,
            counts["streams"],
            counts["failed"],
            len(refusals_s),
            round(slowest_s, 2),
            round(back_s, 2),
        )

    async def _reconcile(self) -> grpc.StatusCode:
        try:
            await self._call("Reconcile", pb.ReconcileRequest())
        except grpc.aio.AioRpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    async def _import(self, folder: Path, number: int) -> None:
        asked = pb.ImportModelRequest(model=MODEL, local_folder=str(folder), request_id=_id())
        found = getattr(await self._call("ImportModel", asked), "import")
        while found.state == pb.IMPORT_STATE_RUNNING:
            await asyncio.sleep(POLL_S)
            found = getattr(
                await self._call("GetImport", pb.GetImportRequest(id=found.id)), "import"
            )
        if found.number != number:
            raise SystemExit(f"parley: {folder} was not imported: {found.message}")

    async def _promote(self, number: int, champion: int) -> None:
        asked = pb.PromoteModelVersionRequest(
            model=MODEL, number=number, expected_champion=champion, request_id=_id()
        )
        await self._call("PromoteModelVersion", asked)

    async def _call(self, rpc: str, request: Any) -> Any:
        metadata = call_metadata(keys.new_request_id(), self._running.api_key)
        return await getattr(self._stub, rpc)(request, timeout=15, metadata=metadata)

    async def _until_version(self, number: int) -> None:
        """Asks for one token until it comes from that version."""
        target, until_s = self._target(MODEL), time.perf_counter() + WAIT_S_MAX
        while await _version_of_token(target) != str(number):
            if time.perf_counter() > until_s:
                raise SystemExit(f"parley: version {number} does not answer")
            await asyncio.sleep(POLL_S)

    def _target(self, model: str) -> HttpTarget:
        port = self._running.plan.ports.edge
        return HttpTarget("127.0.0.1", port, self._running.api_key, model)


@contextlib.asynccontextmanager
async def _load(target: HttpTarget, streams: int, tokens: int) -> AsyncIterator[dict[str, int]]:
    """So many streams at a time, begun anew as they end; the last ones end with the block."""
    counts = {"streams": 0, "failed": 0}
    ending = asyncio.Event()

    async def one_after_another() -> None:
        while not ending.is_set():
            stream = await target.stream(PROMPT, tokens)
            counts["streams"] += 1
            counts["failed"] += bool(stream.error)

    tasks = [asyncio.create_task(one_after_another()) for _ in range(streams)]
    try:
        yield counts
    finally:
        ending.set()
        await asyncio.gather(*tasks)


async def _version_of_token(target: HttpTarget) -> str:
    """The version that a one-token answer names in its headers, once the token has come."""
    reader, writer = await target.connect()
    try:
        writer.write(target.request(PROMPT, 1))
        version = ""
        while line := await reader.readline():
            if line.lower().startswith(b"x-parley-version:"):
                version = line.split(b":", 1)[1].strip().decode()
            elif line.startswith(DATA):
                return version
        return ""
    finally:
        writer.close()


def _id() -> str:
    return keys.new_request_id()
