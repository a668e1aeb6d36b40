"""Makes jobs of runs that were begun in Airflow: on its page, by a schedule, by an asset."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.jobs import book, changes
from services.jobs.kinds import first_tasks, kind_of
from services.jobs.ledger import now
from services.jobs.model import AIRFLOW, Ask, Job, Run
from services.jobs.specs import SUBMITTED_BY
from services.rpc.store import Store

NAME_CHARACTERS_MAX = 128


async def adopt(store: Store, runs: Sequence[Run]) -> bool:
    """Makes a job of each run that is none; returns whether there was any. Raises Unavailable."""
    ids = [run.id for run in runs]
    known = await store.run(lambda tx: book.list_known(tx, ids)) if ids else set()
    new = [run for run in runs if run.id not in known]
    for run in new:
        await store.run(lambda tx, r=run: _insert(tx, r))
    return bool(new)


async def _insert(tx: AsyncConnection, run: Run) -> None:
    await book.insert_new(tx, changes.submit(_to_job(run)), now())


def _to_job(run: Run) -> Job:
    by = run.conf.get(SUBMITTED_BY)
    model = run.conf.get("model")
    return Job(
        id=run.id,
        dag=run.dag,
        kind=kind_of(run.dag),
        conf=run.conf,
        submitted_by=by[:NAME_CHARACTERS_MAX] if isinstance(by, str) and by else AIRFLOW,
        model=model[:NAME_CHARACTERS_MAX] if isinstance(model, str) else "",
        ask=Ask.NOTHING,
        known=True,
        tasks=first_tasks(run.dag),
    )
