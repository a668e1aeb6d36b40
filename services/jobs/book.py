"""Jobs, their events and their attempts in the tables: finding, listing, changing.

Each function is one or two statements of a transaction. What becomes of a job is decided elsewhere.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.jobs.changes import Change
from services.jobs.model import Event, Job, JobState
from services.jobs.rows import from_event, from_job, to_event, to_job
from services.jobs.tables import ATTEMPTS, EVENTS, JOBS
from services.rpc.errors import NotFound

# Of each job the last so many events are kept; old ones go a few hundred at a time.
EVENTS_MAX = 20_000
PRUNE_EVERY = 256
ADVISORY = 0x6A6F6273  # "jobs" in hexadecimal digits of ASCII.


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs to list; what is empty asks nothing."""

    states: Collection[JobState] = ()
    kind: str = ""
    model: str = ""


async def find(tx: AsyncConnection, job_id: str, *, lock: bool = False) -> Job | None:
    """Finds a job. With `lock`, nobody else can change it until the transaction ends."""
    asked = sa.select(JOBS).where(JOBS.c.id == job_id)
    row = (await tx.execute(asked.with_for_update() if lock else asked)).mappings().one_or_none()
    return to_job(row) if row else None


async def get(tx: AsyncConnection, job_id: str, *, lock: bool = False) -> Job:
    """Gets a job. Raises NotFound."""
    job = await find(tx, job_id, lock=lock)
    if job is None:
        raise NotFound(
            f"There is no job {job_id!r}.", reason="JOB_NOT_FOUND", metadata={"id": job_id}
        )
    return job


async def insert_new(tx: AsyncConnection, change: Change, now: datetime) -> bool:
    """Writes a new job; returns whether there was none of its id."""
    job = replace(change.job, revision=len(change.events), create_time=now)
    new = insert(JOBS).values(from_job(job)).on_conflict_do_nothing().returning(JOBS.c.id)
    if (await tx.execute(new)).one_or_none() is None:
        return False
    await _insert_events(tx, job.id, 0, change.events, now)
    return True


async def save(tx: AsyncConnection, change: Change, now: datetime) -> Job:
    """Writes a job that is locked, and its new events; returns it."""
    before = change.job.revision
    job = replace(change.job, revision=before + len(change.events))
    values = from_job(job)
    await tx.execute(JOBS.update().where(JOBS.c.id == job.id).values(values))
    await _insert_events(tx, job.id, before, change.events, now)
    if before // PRUNE_EVERY != job.revision // PRUNE_EVERY and job.revision > EVENTS_MAX:
        old = EVENTS.c.revision <= job.revision - EVENTS_MAX
        await tx.execute(EVENTS.delete().where(EVENTS.c.job_id == job.id, old))
    return job


async def _insert_events(
    tx: AsyncConnection, job_id: str, before: int, events: Sequence[Event], now: datetime
) -> None:
    rows = [
        {"job_id": job_id, **from_event(replace(event, revision=before + place, time=now))}
        for place, event in enumerate(events, 1)
    ]
    if rows:
        await tx.execute(EVENTS.insert(), rows)


async def list_events(tx: AsyncConnection, job_id: str, after: int, count: int) -> list[Event]:
    """Lists a job's events that are kept, in order, from the one behind `after`."""
    asked = sa.select(EVENTS).where(EVENTS.c.job_id == job_id, EVENTS.c.revision > after)
    rows = await tx.execute(asked.order_by(EVENTS.c.revision).limit(count))
    return [to_event(row) for row in rows.mappings()]


async def list_revisions(tx: AsyncConnection, job_ids: Collection[str]) -> dict[str, int]:
    """Lists the number of the last event of each of some jobs."""
    asked = sa.select(JOBS.c.id, JOBS.c.revision).where(JOBS.c.id.in_(job_ids))
    return {row.id: row.revision for row in await tx.execute(asked)}


async def list_jobs(
    tx: AsyncConnection, wanted: JobFilter, before: int | None, count: int
) -> list[Job]:
    """Lists jobs, newest first, below the number `before`."""
    asked = sa.select(JOBS).order_by(JOBS.c.number.desc()).limit(count)
    if wanted.states:
        asked = asked.where(JOBS.c.state.in_(wanted.states))
    if wanted.kind:
        asked = asked.where(JOBS.c.kind == wanted.kind)
    if wanted.model:
        asked = asked.where(JOBS.c.model == wanted.model)
    if before is not None:
        asked = asked.where(JOBS.c.number < before)
    return [to_job(row) for row in (await tx.execute(asked)).mappings()]


async def list_unsettled(tx: AsyncConnection, count: int) -> list[Job]:
    """Lists the jobs that have not ended everywhere, oldest first."""
    asked = sa.select(JOBS).where(~JOBS.c.settled).order_by(JOBS.c.number).limit(count)
    return [to_job(row) for row in (await tx.execute(asked)).mappings()]


async def list_known(tx: AsyncConnection, job_ids: Collection[str]) -> set[str]:
    """Lists which of some ids are jobs."""
    asked = sa.select(JOBS.c.id).where(JOBS.c.id.in_(job_ids))
    return set((await tx.execute(asked)).scalars())


async def list_settled(tx: AsyncConnection, job_ids: Collection[str]) -> list[Job]:
    """Lists which of some ids are jobs that have ended everywhere."""
    asked = sa.select(JOBS).where(JOBS.c.id.in_(job_ids), JOBS.c.settled)
    return [to_job(row) for row in (await tx.execute(asked)).mappings()]


async def count_unsettled(tx: AsyncConnection) -> int:
    """Counts the jobs that have not ended; who counts holds others off until it commits."""
    await tx.execute(sa.select(sa.func.pg_advisory_xact_lock(ADVISORY)))
    counted = sa.select(sa.func.count()).select_from(JOBS).where(~JOBS.c.settled)
    return (await tx.execute(counted)).scalar_one()


async def count_states(tx: AsyncConnection) -> dict[str, int]:
    """Counts the jobs in each state."""
    asked = sa.select(JOBS.c.state, sa.func.count()).group_by(JOBS.c.state)
    return {row[0]: row[1] for row in await tx.execute(asked)}


async def hold(
    tx: AsyncConnection, job_id: str, task: str, attempt: str, sequence: int, now: datetime
) -> tuple[bool, bool]:
    """Notes a report of a process. Returns whether it holds the task, and whether it is new.

    A process that was not heard of before is younger than all that were.
    """
    key = {"job_id": job_id, "task": task, "attempt": attempt}
    new = insert(ATTEMPTS).values(**key, sequence=0, report_time=now, over=False)
    await tx.execute(new.on_conflict_do_nothing())
    asked = sa.select(ATTEMPTS).where(ATTEMPTS.c.job_id == job_id, ATTEMPTS.c.task == task)
    rows = (await tx.execute(asked.order_by(ATTEMPTS.c.number.desc()))).all()
    mine = next(row for row in rows if row.attempt == attempt)
    changed = {"report_time": now, "sequence": max(sequence, mine.sequence)}
    where = [ATTEMPTS.c[name] == value for name, value in key.items()]
    await tx.execute(ATTEMPTS.update().where(*where).values(changed))
    return rows[0].attempt == attempt and not mine.over, sequence > mine.sequence


async def give_up_attempts(tx: AsyncConnection, job_id: str) -> None:
    """Lets no process of before hold a task of a job."""
    await tx.execute(ATTEMPTS.update().where(ATTEMPTS.c.job_id == job_id).values(over=True))


async def is_quiet(tx: AsyncConnection, job_id: str, silence_s: float, now: datetime) -> bool:
    """Whether no process of a job has told anything for `silence_s`."""
    late = ATTEMPTS.c.report_time > now - timedelta(seconds=silence_s)
    asked = sa.select(ATTEMPTS.c.attempt).where(ATTEMPTS.c.job_id == job_id, late).limit(1)
    return (await tx.execute(asked)).one_or_none() is None
