"""One import, stage by stage: check, export, store, register.

Each stage looks at what is there before it works, so that an import which was interrupted anywhere
goes on from its work folder. What is there counts only while its bytes still have the SHA-256 that
was written down. Knows neither the table of imports nor who waits.
"""

import asyncio
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import structlog

from services.registry.importing.contents import Facts, check_contents
from services.registry.importing.manifest import (
    UNVERSIONED,
    Line,
    Manifest,
    Tell,
    hash_folder,
    read_manifest,
    write_manifest,
)
from services.registry.importing.names import ENGINE_FOLDER
from services.registry.importing.sources import Objects, Source
from services.registry.model import File, Import, Version
from services.rpc.errors import FailedPrecondition, Internal, NotFound

log = structlog.get_logger()

STAGES = {"check": 0.3, "export": 0.6, "store": 0.95, "register": 1.0}
"""Each stage, and the share of the whole import that is done at its end."""

_FETCH_SHARE = 0.7
_MODEL = "model"
_SOURCE_MANIFEST, _ENGINE_MANIFEST = "source.json", "engine.json"

Report = Callable[[str, float], None]
"""Hears the stage at work and its own share; may raise to stop it."""


class Register(Protocol):
    """Makes a version of files that are stored: the fields of the registrar's Registration."""

    async def __call__(self, **fields: Any) -> Version:
        """Returns the version; the same again gives the same one."""

    async def find(self, model: str, digest: str, run_id: str) -> Version | None:
        """Finds the version that these files have for that run already, if it is ready."""


class Exporting(Protocol):
    """Makes the engine's form of a folder."""

    async def export(self, folder: Path, tell: Tell) -> Path:
        """Returns the folder that holds it."""


class Stages:
    """Runs imports, each in a folder of its own below `work`."""

    def __init__(
        self,
        work: Path,
        sources: Mapping[str, Source],
        exporter: Exporting,
        objects: Objects,
        register: Register,
    ) -> None:
        self._work = work
        self._sources = sources
        self._exporter = exporter
        self._objects = objects
        self._register = register

    def check(self, wanted: Import) -> None:
        """Raises InvalidArgument or PermissionDenied when the source cannot be one."""
        self._sources[wanted.source_kind].check(wanted.source)

    async def run(self, row: Import, report: Report) -> int:
        """Carries an import through, from wherever it stopped, and returns the version's number.

        Raises ParleyErrors, and OSError when the disk fails.
        """
        folder = self._work / row.id
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        source, facts = await self._check(row, folder, lambda share: report("check", share))
        engine = await self._export(
            row, folder, source.digest, lambda share: report("export", share)
        )
        files = await self._store(folder, source, engine, lambda share: report("store", share))
        report("register", 0.0)
        version = await self._register(
            model=row.model,
            digest=source.digest,
            engine_digest=engine.digest,
            evidence=row.evidence,
            files=files,
            architecture=facts.architecture,
            context_tokens_max=facts.context_tokens_max,
            source=row.source,
            import_id=row.id,
            principal=row.principal,
            params={},
        )
        return version.number

    async def _check(self, row: Import, folder: Path, tell: Tell) -> tuple[Manifest, Facts]:
        """Copies the source, holds it to the rules, and writes down what it is."""
        model, known = folder / _MODEL, read_manifest(folder / _SOURCE_MANIFEST)
        if known is None or not await asyncio.to_thread(_is_still, known, model):
            model.mkdir(mode=0o700, exist_ok=True)
            source = self._sources[row.source_kind]
            await source.fetch(row.source, model, lambda share: tell(_FETCH_SHARE * share))
            known = await asyncio.to_thread(
                hash_folder, model, lambda share: tell(_FETCH_SHARE + (1 - _FETCH_SHARE) * share)
            )
        names = [line.path for line in known.lines]
        facts = await asyncio.to_thread(check_contents, model, names)
        if row.expected_digest not in {"", known.digest}:
            raise FailedPrecondition(
                f"The files have the digest {known.digest}, not the expected one. Import the files "
                "that were meant, or leave expected_digest out.",
                reason="DIGEST_DIFFERS",
                metadata={"digest": known.digest},
            )
        write_manifest(known, folder / _SOURCE_MANIFEST)
        return known, facts

    async def _export(self, row: Import, folder: Path, digest: str, tell: Tell) -> Manifest:
        """Makes the engine's form, or fetches the one that its version has, and writes down what
        it is."""
        model, known = folder / _MODEL, read_manifest(folder / _ENGINE_MANIFEST)
        if known is None or not await asyncio.to_thread(_is_still, known, model / ENGINE_FOLDER):
            version = await self._register.find(row.model, digest, row.evidence.run_id)
            if version is None or not await self._fetch_engine(version, model):
                await self._exporter.export(model, tell)
            known = await asyncio.to_thread(hash_folder, model / ENGINE_FOLDER)
            write_manifest(known, folder / _ENGINE_MANIFEST)
        return known

    async def _fetch_engine(self, version: Version, model: Path) -> bool:
        """Fetches a version's engine's form; False where the bucket has lost some of it, or has
        other bytes by now."""
        engine = model / ENGINE_FOLDER
        engine.mkdir(exist_ok=True)
        try:
            for file in version.files:
                if file.path.startswith(f"{ENGINE_FOLDER}/"):
                    await self._objects.get_file(file.key, model / file.path, file.sha256)
        except (NotFound, Internal) as error:
            log.warning("engine's form not found whole", key=file.key, reason=error.reason)
            await asyncio.to_thread(shutil.rmtree, engine)
            return False
        return True

    async def _store(
        self, folder: Path, source: Manifest, engine: Manifest, tell: Tell
    ) -> tuple[File, ...]:
        """Stores every file under its digest, and returns what a version's record lists."""
        files = [
            *(_source_file(line, source.digest) for line in source.lines),
            *(_engine_file(line, engine.digest) for line in engine.lines),
        ]
        whole = source.size_bytes + engine.size_bytes
        done = 0
        for file in files:
            await self._objects.put_file(file.key, folder / _MODEL / file.path, file.sha256)
            done += file.size_bytes
            tell(done / whole)
        return tuple(files)


def _is_still(known: Manifest, folder: Path) -> bool:
    """Whether the folder holds what was written down, also after the machine lost power."""
    return folder.is_dir() and hash_folder(folder) == known


def _source_file(line: Line, digest: str) -> File:
    # A file outside the digest may differ where the digest does not: its key names it by its own.
    part = f"{line.sha256[:12]}/" if line.path in UNVERSIONED else ""
    return File(line.path, line.size_bytes, line.sha256, f"models/{digest}/{part}{line.path}")


def _engine_file(line: Line, digest: str) -> File:
    path = f"{ENGINE_FOLDER}/{line.path}"
    return File(path, line.size_bytes, line.sha256, f"engines/{digest}/{line.path}")
