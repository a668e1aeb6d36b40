"""What must hold of a job before it is taken on: its data, its base, its folders.

The registry is asked for models; data on this machine are read by a process of their own, with
bounds on its time and memory, so that no file can hurt this one.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import structlog
from parley.registry.v1 import registry_pb2 as registry
from parley.registry.v1 import registry_pb2_grpc as registry_grpc

from services.jobs import reading
from services.rpc.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ParleyError,
    from_rpc_error,
)

log = structlog.get_logger()

CHAMPION = "champion"
FILE = "file://"
PROMPTS = "--prompts"
CHECK_S_MAX = 20.0
CHECKS_MAX = 2


class Checks:
    """Checks work of each kind before it is taken on."""

    def __init__(
        self, channel: grpc.aio.Channel, data_roots: list[Path], starter: str, deadline_s: float
    ) -> None:
        self._registry = registry_grpc.RegistryStub(channel)
        self._roots = [root.resolve() for root in data_roots]
        self._starter = starter
        self._deadline_s = deadline_s
        self._room = asyncio.Semaphore(CHECKS_MAX)

    async def check(self, kind: str, conf: Mapping[str, Any]) -> None:
        """Raises InvalidArgument, NotFound or Unavailable, naming what is wrong."""
        if kind == "finetune":
            await self._check_base(conf)
            await self._check_data(conf["dataset"], questions_only=False)
        elif kind == "evaluate":
            await self._check_version("model", conf["model"], conf["version"] or CHAMPION)
            await self._check_data(conf["dataset"], questions_only=False)
        elif kind == "batch_generate":
            await self._check_version("model", *split(conf["model"]))
            await self._check_data(conf["dataset"], questions_only=True)
        elif kind == "import_model" and (path := local_path(conf["source"])):
            await asyncio.to_thread(self._check_place, "source", path, is_folder=True)

    async def _check_base(self, conf: Mapping[str, Any]) -> None:
        if conf["base"]:
            await self._check_version("base", *split(conf["base"]))
            return
        with suppress(NotFound):
            await self._check_version("base", conf["model"], CHAMPION)
            return
        await self._check_version("base", self._starter, CHAMPION)

    async def _check_version(self, field: str, model: str, version: str) -> None:
        wanted = registry.GetModelVersionRequest(model=model, version=version)
        try:
            await self._registry.GetModelVersion(wanted, timeout=self._deadline_s)
        except grpc.aio.AioRpcError as error:
            raise _named(field, f"{model}@{version}", from_rpc_error(error)) from error

    async def _check_data(self, dataset: str, *, questions_only: bool) -> None:
        path = local_path(dataset)
        if path is None:
            return  # Stored data were checked when they were stored; others are by the first task.
        found = await asyncio.to_thread(self._check_place, "dataset", path, is_folder=False)
        async with self._room:
            await _read_data(found, [PROMPTS] if questions_only else [])

    def _check_place(self, field: str, path: Path, *, is_folder: bool) -> Path:
        found = path.resolve()
        if not any(found.is_relative_to(root) for root in self._roots):
            raise _invalid(field, f"{path} is in no folder that data may be read from.")
        if not (found.is_dir() if is_folder else found.is_file()):
            raise _invalid(field, f"There is no {'folder' if is_folder else 'file'} {path}.")
        return found


def local_path(place: str) -> Path | None:
    """Reads the path of a place on this machine; None where it is elsewhere."""
    place = place.removeprefix(FILE)
    return Path(place) if place.startswith("/") else None


def split(name: str) -> tuple[str, str]:
    """Splits name, name@alias or name@number into the model and the version."""
    model, _, version = name.partition("@")
    return model, version or CHAMPION


async def _read_data(path: Path, options: Sequence[str]) -> None:
    """Has the data read. What takes too long to read here is left to the job's first task."""
    try:
        found = await reading.read(path, CHECK_S_MAX, [*reading.COMMAND, *options])
    except TimeoutError:
        log.warning("data not read in time", path=str(path))
        return
    except reading.UnreadError as error:
        # It was out of memory, or is broken: neither is the caller's doing alone.
        log.error("data not read", words=str(error))
        words = f"{path} cannot be read as data. Are its lines very long?"
        raise _invalid("dataset", words) from error
    if found.reason:
        line = {"line": found.line} if found.line else {}
        metadata = {"field": "dataset", **line}
        raise InvalidArgument(found.message, reason=found.reason, metadata=metadata)


def _named(field: str, name: str, error: ParleyError) -> ParleyError:
    if not isinstance(error, NotFound | InvalidArgument | FailedPrecondition):
        return error
    metadata = {"field": field, "name": name}
    return NotFound(f"{field}: there is no {name}.", reason="BASE_NOT_FOUND", metadata=metadata)


def _invalid(field: str, words: str) -> InvalidArgument:
    return InvalidArgument(words, reason="INVALID_FIELD", metadata={"field": field})
