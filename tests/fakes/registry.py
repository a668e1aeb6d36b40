"""A Registry that says what the test wants served, and gives the files of real folders.

It keeps the rules of the contract that replicas rely on: revisions grow, a watcher that knows the
newest one hears nothing, digests are those of the files, and unknown versions are NOT_FOUND. The
weights that only training needs are left out.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from parley.registry.v1 import registry_pb2 as pb
from parley.registry.v1 import registry_pb2_grpc as pb_grpc

from services.rpc.errors import NotFound
from services.rpc.server import Server
from services.rpc.settings import ServerSettings
from services.serving.model import UNVERSIONED
from tests.fakes.files import FileServer

SERVICE = pb.DESCRIPTOR.services_by_name["Registry"].full_name
RUN, DATASET = "1f" * 16, "2e" * 32


@dataclass
class _Folder:
    digest: str
    engine_digest: str
    files: list[pb.ModelFile]


@dataclass
class FakeRegistry(pb_grpc.RegistryServicer):
    """Implements WatchModels and GetModelFiles."""

    store: FileServer
    revision: int = 0
    asked_files: int = 0
    folders: dict[tuple[str, int], _Folder] = field(default_factory=dict)
    models: dict[str, pb.ServedModel] = field(default_factory=dict)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def add(self, model: str, number: int, folder: Path) -> str:
        """Registers a folder as a version, and returns its digest."""
        hashes = {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        engine = {
            name.removeprefix("openvino/"): digest
            for name, digest in hashes.items()
            if name.startswith("openvino/")
        }
        source = {name: digest for name, digest in hashes.items() if "/" not in name}
        files = []
        for name in hashes:
            if not name.endswith(".safetensors"):
                self.store.files[f"{model}/{number}/{name}"] = folder / name
                size = (folder / name).stat().st_size
                files.append(pb.ModelFile(path=name, size_bytes=size, sha256=hashes[name]))
        self.folders[model, number] = _Folder(_digest(source), _digest(engine), files)
        return self.folders[model, number].digest

    async def serve(
        self,
        model: str,
        routes: dict[int, int],
        *,
        standby: Collection[int] = (),
        mirror: int = 0,
    ) -> int:
        """Says how a model should be served from now on, and returns the new revision."""
        numbers = sorted({*routes, *standby, *([mirror] if mirror else [])})
        champion = max(routes, key=lambda number: routes[number])
        spread = [pb.Route(number=number, weight=weight) for number, weight in routes.items()]
        async with self._changed:
            self.models[model] = pb.ServedModel(
                name=model,
                champion=champion,
                traffic=pb.Traffic(routes=spread, mirror=mirror),
                versions=[
                    pb.ServedVersion(
                        number=number,
                        digest=self.folders[model, number].digest,
                        engine_digest=self.folders[model, number].engine_digest,
                        aliases=["champion"] if number == champion else [],
                        run_id=RUN,
                        dataset_digest=DATASET,
                        standby=number in standby,
                    )
                    for number in numbers
                ],
            )
            self.revision += 1
            self._changed.notify_all()
        return self.revision

    async def WatchModels(
        self, request: pb.WatchModelsRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.WatchModelsResponse]:
        """Streams the state, and each newer one."""
        known = request.revision
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self.revision > known)  # noqa: B023
                known = self.revision
                models = [self.models[name] for name in sorted(self.models)]
            yield pb.WatchModelsResponse(revision=known, models=models)

    async def GetModelFiles(
        self, request: pb.GetModelFilesRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetModelFilesResponse:
        """Gives addresses that are good until the store lets them expire."""
        self.asked_files += 1
        folder = self.folders.get((request.model, request.number))
        if folder is None:
            raise NotFound("There is no such version.", reason="VERSION_NOT_FOUND")
        files = []
        for file in folder.files:
            url = self.store.url(f"{request.model}/{request.number}/{file.path}")
            files.append(pb.ModelFile(url=url))
            files[-1].MergeFrom(file)
        return pb.GetModelFilesResponse(
            digest=folder.digest, engine_digest=folder.engine_digest, files=files
        )


@asynccontextmanager
async def running_registry(registry: FakeRegistry, address: str) -> AsyncIterator[None]:
    """Runs it on Parley's own server until the block ends; what watches is cut off then."""
    server = Server(ServerSettings(address=address, drain_s=0, health_interval_s=0), [SERVICE])
    pb_grpc.add_RegistryServicer_to_server(registry, server.grpc)
    await server.start()
    await server.set_serving(True)
    try:
        yield
    finally:
        await server.grpc.stop(0)


def _digest(hashes: dict[str, str]) -> str:
    lines = (f"{hashes[name]}  {name}\n" for name in sorted(hashes) if name not in UNVERSIONED)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
