"""What died on its way: registrations that nobody goes on with, and objects that nobody names.

Both are left alone while an import runs that may still need them.
"""

from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry import audit, imports
from services.registry.mlflow_adapter import Mlflow
from services.registry.model import PARLEY, Act, Drift, ImportState, VersionState
from services.registry.objects import ENGINES, MODELS, Objects
from services.registry.tables import IMPORTS, VERSIONS
from services.rpc.store import Store

PENDING_AGE_MAX = timedelta(minutes=15)
BATCH = 8
DEADLINE_S = 30.0


async def take_back_registrations(store: Store, mlflow: Mlflow) -> list[Drift]:
    """Takes back registrations that have been PENDING for long and whose import is over."""

    async def work(tx: AsyncConnection) -> list[Drift]:
        running = sa.select(IMPORTS.c.id).where(IMPORTS.c.state == ImportState.RUNNING)
        asked = sa.select(VERSIONS).where(
            VERSIONS.c.state == VersionState.PENDING,
            VERSIONS.c.create_time < sa.func.now() - PENDING_AGE_MAX,
            VERSIONS.c.import_id.not_in(running),
        )
        # Who holds a row is about to finish it.
        found = await tx.execute(asked.limit(BATCH).with_for_update(skip_locked=True))
        return [await _take_back(tx, mlflow, row) for row in found.mappings().all()]

    return await store.run(work, DEADLINE_S)


async def _take_back(tx: AsyncConnection, mlflow: Mlflow, row: sa.RowMapping) -> Drift:
    registration, model = str(row["id"]), row["model"]
    for version in await mlflow.list_versions(model, registration):
        await mlflow.delete_version(model, version.number)
    run_id = await mlflow.find_run(registration)
    if run_id is not None:
        await mlflow.kill_run(run_id)
    await tx.execute(VERSIONS.delete().where(VERSIONS.c.id == row["id"]))
    rest = sa.select(sa.func.count()).where(VERSIONS.c.model == model)
    if not (await tx.execute(rest)).scalar_one() and not await mlflow.list_versions(model):
        await mlflow.delete_model(model)
    words = f"a registration of {model!r} was begun and never ended"
    await audit.record(tx, Act(PARLEY, "mend", model, after={"kind": "PENDING"}, reason=words))
    return Drift("PENDING", model, words, mended=True)


async def remove_objects(store: Store, objects: Objects) -> list[Drift]:
    """Removes the files of versions that are gone, while no import runs and none can begin."""

    async def work(tx: AsyncConnection) -> list[Drift]:
        if await imports.list_running(tx):
            return []
        folders = [f"{MODELS}{name}/" for name in await objects.list_folders(MODELS)]
        folders += [f"{ENGINES}{name}/" for name in await objects.list_folders(ENGINES)]
        unnamed = [folder for folder in folders if folder not in await _named(tx)]
        if not unnamed:
            return []
        # An import that began now might count on objects that are about to go.
        await tx.execute(sa.text("LOCK TABLE imports IN SHARE ROW EXCLUSIVE MODE"))
        if await imports.list_running(tx):
            return []
        named = await _named(tx)
        removed = [folder for folder in unnamed if folder not in named][:BATCH]
        for folder in removed:
            await objects.remove_folder(folder)
            words = f"no version named {folder}"
            await audit.record(tx, Act(PARLEY, "mend", "", after={"kind": "OBJECTS"}, reason=words))
        return [Drift("OBJECTS", "", f"no version named {one}", mended=True) for one in removed]

    return await store.run(work, DEADLINE_S)


async def _named(tx: AsyncConnection) -> set[str]:
    asked = sa.select(VERSIONS.c.digest, VERSIONS.c.engine_digest)
    found = await tx.execute(asked.where(VERSIONS.c.state != VersionState.DELETED))
    return {
        folder
        for digest, engine_digest in found
        for folder in (f"{MODELS}{digest}/", f"{ENGINES}{engine_digest}/")
    }
