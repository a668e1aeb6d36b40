"""Makes a version: a run where there is none, a registered model, MLflow's version, our row.

It may die between any two steps and be asked for again, also by two callers at once: there is one
version for each (model, digest, run). A PENDING row goes first, and whoever holds it does the rest;
what MLflow has of it already is found by the row's id.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry import audit, catalog
from services.registry.failpoints import Point, reach
from services.registry.mlflow_adapter import REGISTRATION_TAG, Mlflow
from services.registry.model import Act, Evidence, File, Version, VersionState
from services.registry.rows import from_evidence
from services.registry.tables import VERSIONS
from services.rpc.errors import FailedPrecondition, Unavailable
from services.rpc.store import Store

# About ten calls of MLflow, and the wait for another that registers the same.
DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True)
class Registration:
    """A version to be: all of its files are in the object store already."""

    model: str
    digest: str
    engine_digest: str
    evidence: Evidence
    files: tuple[File, ...]
    architecture: str
    context_tokens_max: int
    source: str
    import_id: str
    principal: str
    params: Mapping[str, str] = field(default_factory=dict)


class Registrar:
    """Registers versions whose files are in `bucket`; `tell` hears of each new revision."""

    def __init__(
        self, store: Store, mlflow: Mlflow, *, bucket: str, tell: Callable[[], None]
    ) -> None:
        self._store = store
        self._mlflow = mlflow
        self._bucket = bucket
        self._tell = tell

    async def register(self, wanted: Registration) -> Version:
        """Makes the version, or finds it made. Safe to repeat; cancel-safe.

        Raises FailedPrecondition when the evidence names a run that MLflow does not have, and
        Unavailable when MLflow or the database is away.
        """
        run_id = wanted.evidence.run_id
        if run_id and not await self._mlflow.has_run(run_id):
            raise FailedPrecondition(
                f"MLflow has no run {run_id}. Leave the run out, or name one that is there.",
                reason="RUN_NOT_FOUND",
                metadata={"run_id": run_id},
            )
        registration = await self._store.run(lambda tx: _begin(tx, wanted))
        reach(Point.REGISTER_BEGUN)
        version = await self._store.run(
            lambda tx: self._finish(tx, wanted, registration), DEADLINE_S
        )
        reach(Point.VERSION_READY)
        self._tell()
        return version

    async def find(self, model: str, digest: str, run_id: str) -> Version | None:
        """Finds the version that `register` would find made; None where it would make one."""

        async def read(tx: AsyncConnection) -> Version | None:
            row = await _find_made(tx, model, digest, run_id)
            if row is None or row.state != VersionState.READY:
                return None
            return await catalog.get_version(tx, model, row.number)

        return await self._store.run(read)

    async def _finish(
        self, tx: AsyncConnection, wanted: Registration, registration: str
    ) -> Version:
        mine = VERSIONS.c.id == registration
        found = await tx.execute(sa.select(VERSIONS).where(mine).with_for_update())
        row = found.mappings().one_or_none()
        if row is None:
            raise Unavailable(
                "This registration was taken back. Ask again.", reason="REGISTRATION_TAKEN_BACK"
            )
        if row["state"] != VersionState.PENDING:
            return await catalog.get_version(tx, wanted.model, row["number"])
        run_id = await self._ensure_run(wanted, registration)
        number = await self._ensure_version(wanted, registration, run_id)
        evidence = from_evidence(replace(wanted.evidence, run_id=run_id))
        ready = {"number": number, "state": VersionState.READY, "evidence": evidence}
        await tx.execute(VERSIONS.update().where(mine).values(ready))
        version = await catalog.get_version(tx, wanted.model, number)
        after = {"state": version.state, "digest": version.digest}
        act = Act(wanted.principal, "register", wanted.model, number, after=after)
        await audit.record(tx, replace(act, evidence=evidence, request_id=wanted.import_id))
        reach(Point.VERSION_READY_UNCOMMITTED)
        return version

    async def _ensure_run(self, wanted: Registration, registration: str) -> str:
        if wanted.evidence.run_id:
            return wanted.evidence.run_id
        name = f"{wanted.model}-{wanted.digest[:12]}"
        run_id = await self._mlflow.ensure_run(name, registration)
        reach(Point.RUN_CREATED)
        await self._mlflow.fill_run(run_id, wanted.evidence, wanted.params)
        reach(Point.RUN_LOGGED)
        return run_id

    async def _ensure_version(self, wanted: Registration, registration: str, run_id: str) -> int:
        await self._mlflow.ensure_model(wanted.model)
        reach(Point.MODEL_CREATED)
        tags = {
            REGISTRATION_TAG: registration,
            "parley.digest": wanted.digest,
            "parley.import": wanted.import_id,
        }
        source = f"s3://{self._bucket}/models/{wanted.digest}"
        number = await self._mlflow.ensure_version(wanted.model, source, run_id, tags)
        reach(Point.VERSION_CREATED)
        return number


async def _begin(tx: AsyncConnection, wanted: Registration) -> str:
    """Makes the PENDING row, or finds the one that is there; returns its id."""
    await catalog.ensure_model(tx, wanted.model)
    asked = wanted.model, wanted.digest, wanted.evidence.run_id
    if made := await _find_made(tx, *asked):
        return str(made.id)
    await tx.execute(insert(VERSIONS).values(_pending(wanted)).on_conflict_do_nothing())
    (row,) = await _find(tx, *asked[:2], VERSIONS.c.run_asked == asked[2])
    return str(row.id)


async def _find_made(
    tx: AsyncConnection, model: str, digest: str, run_id: str
) -> sa.Row[Any] | None:
    """The row of these files and that run."""
    # A run that was made for these files, when they came without one, is theirs.
    of_run = VERSIONS.c.evidence["run_id"].astext == run_id
    found = await _find(tx, model, digest, of_run) if run_id else []
    return next(iter(found or await _find(tx, model, digest, VERSIONS.c.run_asked == run_id)), None)


async def _find(
    tx: AsyncConnection, model: str, digest: str, of_run: sa.ColumnElement[bool]
) -> Sequence[sa.Row[Any]]:
    """The rows of these files and that run, the oldest first if there are several."""
    query = sa.select(VERSIONS.c.id, VERSIONS.c.number, VERSIONS.c.state).where(
        VERSIONS.c.model == model,
        VERSIONS.c.digest == digest,
        VERSIONS.c.state != VersionState.DELETED,
        of_run,
    )
    return (await tx.execute(query.order_by(VERSIONS.c.number))).all()


def _pending(wanted: Registration) -> dict[str, Any]:
    return {
        "model": wanted.model,
        "state": VersionState.PENDING,
        "digest": wanted.digest,
        "engine_digest": wanted.engine_digest,
        "run_asked": wanted.evidence.run_id,
        "evidence": from_evidence(wanted.evidence),
        "files": [asdict(file) for file in sorted(wanted.files, key=lambda file: file.path)],
        "size_bytes": sum(file.size_bytes for file in wanted.files),
        "architecture": wanted.architecture,
        "context_tokens_max": wanted.context_tokens_max,
        "created_by": wanted.principal,
        "source": wanted.source,
        "import_id": wanted.import_id,
    }
