"""Every change of a job: made of the job as it is, in one transaction, then told to watchers."""

from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.jobs import book, changes
from services.jobs.changes import Change
from services.jobs.model import Job, JobState, Report
from services.jobs.watch import Watch
from services.rpc.errors import FailedPrecondition
from services.rpc.store import Store

Make = Callable[[Job], Change | None]
STOPPING = (JobState.CANCELLING, JobState.CANCELLED, JobState.FAILED, JobState.SUCCEEDED)


class Ledger:
    """Changes jobs; one at a time for each of them."""

    def __init__(self, store: Store, watch: Watch) -> None:
        self._store = store
        self._watch = watch

    async def change(self, job_id: str, make: Make) -> Job:
        """Makes of a job what `make` says, unless it says None; returns the job.

        Raises NotFound, Unavailable, and whatever `make` raises.
        """

        async def work(tx: AsyncConnection) -> Job:
            job = await book.get(tx, job_id, lock=True)
            made = make(job)
            return job if made is None else await book.save(tx, made, now())

        job = await self._store.run(work)
        self._watch.tell(job.id)
        return job

    async def retry(self, job_id: str) -> Job:
        """Begins an ended job anew; one that goes on is returned as it is.

        Raises NotFound, and FailedPrecondition when it has succeeded.
        """

        async def work(tx: AsyncConnection) -> Job:
            job = await book.get(tx, job_id, lock=True)
            if not job.state.ended:
                return job
            if job.state is JobState.SUCCEEDED:
                raise FailedPrecondition(
                    "The job has succeeded; there is nothing to try again.",
                    reason="JOB_SUCCEEDED",
                    metadata={"id": job_id},
                )
            await book.give_up_attempts(tx, job_id)
            return await book.save(tx, changes.retry(job, now()), now())

        job = await self._store.run(work)
        self._watch.tell(job.id)
        return job

    async def report(self, told: Report) -> str:
        """Takes a report of a task's process.

        Returns why the process must end, empty where it should go on. Raises NotFound.
        """

        async def work(tx: AsyncConnection) -> str:
            job = await book.get(tx, told.job_id, lock=True)
            holds, is_new = await book.hold(
                tx, told.job_id, told.task, told.attempt, told.sequence, now()
            )
            if not holds:
                return "A younger process does this task."
            if is_new:
                job = await book.save(tx, changes.report(job, told, now()), now())
            return f"The job is {job.state}." if job.state in STOPPING else ""

        reason = await self._store.run(work)
        self._watch.tell(told.job_id)
        return reason


def now() -> datetime:
    """Reads the clock."""
    return datetime.now(UTC)
