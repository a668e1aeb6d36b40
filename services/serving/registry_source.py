"""What the registry says should be served, kept on disk for when it is not there.

Follows parley.registry.v1.Registry.WatchModels, and fetches files from the addresses that
GetModelFiles gives. A replica needs neither for what it has.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import grpc
import structlog
from parley.registry.v1 import registry_pb2 as pb
from parley.registry.v1 import registry_pb2_grpc as pb_grpc

from services.rpc.channel import call_metadata, open_channel
from services.serving.cache import FileCache
from services.serving.fetch import ExpiredError, fetch, open_client
from services.serving.manifest import File, check_listing
from services.serving.source import SourceError
from services.serving.wanted import WEIGHT_ALL, Key, Route, State, Table, Version

log = structlog.get_logger()

CALL_S = 10.0
# A watch is begun anew now and then, so that none hangs for ever.
WATCH_S = 600.0
RETRY_S_MIN, RETRY_S_MAX = 0.1, 5.0
# Times that files are asked for anew when their addresses have expired.
ADDRESSES_MAX = 3
CHAMPION = "champion"


class RegistrySource:
    """A `Source` that follows a registry, with a key where that is reached through a mesh."""

    def __init__(
        self, address: str, cache: FileCache, fetch_s_max: float, key: str | None = None
    ) -> None:
        self._channel = open_channel(address)
        self._stub = pb_grpc.RegistryStub(self._channel)
        self._metadata = call_metadata("follow", key)
        self._cache = cache
        self._fetch_s_max = fetch_s_max
        # Two numbers may have the same files.
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def follow(self, on_state: Callable[[State], None]) -> None:
        """Begins with the state on disk, and goes on with the registry's whenever it is there."""
        kept = await asyncio.to_thread(self._cache.read_state)
        if kept is not None:
            on_state(kept)
        # What is on disk may come from a registry that has begun anew: ask for whatever there is.
        revision, delay_s = 0, RETRY_S_MIN
        while True:
            try:
                asked = pb.WatchModelsRequest(revision=revision)
                watch = self._stub.WatchModels(asked, timeout=WATCH_S, metadata=self._metadata)
                async for told in watch:
                    revision, delay_s = told.revision, RETRY_S_MIN
                    state = to_state(told)
                    on_state(state)
                    await self._keep(state)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                    log.warning("registry not reached", code=error.code().name, retry_s=delay_s)
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, RETRY_S_MAX)

    async def fetch(self, version: Version, used: Collection[Version]) -> Path:
        """The verified model folder of a version, from the cache or from the store."""
        async with self._turns[version.key.digest]:
            found = await asyncio.to_thread(self._cache.find, version)
            if found is not None:
                return found
            try:
                async with asyncio.timeout(self._fetch_s_max):
                    files = await self._fetch_all(version, used)
            except TimeoutError:
                raise SourceError(f"its files did not come in {self._fetch_s_max:g} s") from None
            return await asyncio.to_thread(self._cache.finish, version, files)

    async def close(self) -> None:
        """Hangs up."""
        await self._channel.close()

    async def _keep(self, state: State) -> None:
        try:
            await asyncio.to_thread(self._cache.keep_state, state)
        except OSError as error:
            log.error("state not kept", error=str(error))

    async def _fetch_all(self, version: Version, used: Collection[Version]) -> list[File]:
        async with open_client() as client:
            for _ in range(ADDRESSES_MAX):
                told = await self._ask(version)
                files = _to_files(told.files)
                check_listing(files, version.engine_digest)
                size_bytes = sum(file.size_bytes for file in files)
                part = await asyncio.to_thread(self._cache.begin, version, size_bytes, used)
                try:
                    for file, from_store in zip(files, told.files, strict=True):
                        await fetch(client, from_store.url, file, part / file.path)
                except ExpiredError:
                    continue
                return files
        raise SourceError("the store refuses the addresses of its files")

    async def _ask(self, version: Version) -> pb.GetModelFilesResponse:
        asked = pb.GetModelFilesRequest(model=version.key.model, number=int(version.key.version))
        try:
            told = await self._stub.GetModelFiles(asked, timeout=CALL_S, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise SourceError(
                f"the registry does not say where its files are: {error.code().name}: "
                f"{error.details()}"
            ) from None
        if (told.digest, told.engine_digest) != (version.key.digest, version.engine_digest):
            raise SourceError("the registry names files of other digests than it said before")
        return told


def to_state(told: pb.WatchModelsResponse) -> State:
    """The registry's state in our words."""
    tables = tuple(_to_table(model, told.revision) for model in told.models)
    return State(told.revision, tables)


def _to_table(model: pb.ServedModel, revision: int) -> Table:
    routes = [Route(str(route.number), route.weight) for route in model.traffic.routes]
    if not routes and model.champion:
        routes = [Route(str(model.champion), WEIGHT_ALL)]
    versions = (_to_version(model, version) for version in model.versions)
    mirror = str(model.traffic.mirror) if model.traffic.mirror else ""
    return Table(model.name, tuple(versions), tuple(routes), mirror, revision)


def _to_version(model: pb.ServedModel, version: pb.ServedVersion) -> Version:
    aliases = {*version.aliases, *([CHAMPION] if version.number == model.champion else [])}
    return Version(
        Key(model.name, str(version.number), version.digest),
        version.engine_digest,
        tuple(sorted(aliases)),
        version.run_id,
        version.dataset_digest,
        version.standby,
    )


def _to_files(files: Sequence[pb.ModelFile]) -> list[File]:
    return [File(file.path, file.size_bytes, file.sha256) for file in files]
