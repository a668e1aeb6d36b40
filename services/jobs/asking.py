"""Asks Airflow for what jobs wish: to begin a run, or to let one go on.

The wish is in the job's row before Airflow hears it and is taken out after, so that a process that
dies in between leaves it to the next, and Airflow leaves alone what it has heard before.
"""

import asyncio
from collections.abc import Sequence

from services.jobs import changes
from services.jobs.airflow import Airflow
from services.jobs.changes import Change
from services.jobs.failpoints import Point
from services.jobs.ledger import Ledger, now
from services.jobs.model import Ask, Failure, Job, JobState
from services.rpc.errors import InvalidArgument, ParleyError
from services.rpc.failpoints import reach

AT_A_TIME = 4
# The rest is for the next time, so that running jobs are looked at meanwhile.
AT_ONCE_MAX = 32


class Asking:
    """Carries the wishes of jobs to Airflow."""

    def __init__(self, ledger: Ledger, airflow: Airflow) -> None:
        self._ledger = ledger
        self._airflow = airflow

    async def carry_out(self, jobs: Sequence[Job]) -> list[ParleyError]:
        """Asks for what some jobs wish; returns what went wrong, which stops no other wish."""
        wishing = [job for job in jobs if job.ask is not Ask.NOTHING]
        room = asyncio.Semaphore(AT_A_TIME)

        async def ask(job: Job) -> ParleyError | None:
            async with room:
                try:
                    await self._ask(job)
                except ParleyError as error:
                    return error
            return None

        told = await asyncio.gather(*(ask(job) for job in wishing[:AT_ONCE_MAX]))
        return [error for error in told if error is not None]

    async def _ask(self, job: Job) -> None:
        if job.state is JobState.CANCELLING:
            await self._forget(job)
        elif job.ask is Ask.CLEAR:
            await self._clear(job)
        else:
            await self._trigger(job)

    async def _trigger(self, job: Job) -> None:
        begun = await self._ledger.change(job.id, _begin)
        if begun.ask is not Ask.TRIGGER_AGAIN or begun.state is JobState.CANCELLING:
            return  # It was cancelled since we looked.
        reach(Point.TRIGGER_BEGUN)
        try:
            await self._airflow.trigger(job.dag, job.id, job.conf)
        except InvalidArgument as error:
            failure = Failure(error.reason, error.message)
            await self._ledger.change(job.id, lambda j: _refuse(j, failure))
            return
        reach(Point.TRIGGERED)
        await self._ledger.change(job.id, lambda j: changes.asked(j))
        reach(Point.TRIGGER_COMMITTED)

    async def _clear(self, job: Job) -> None:
        reach(Point.CLEAR_BEGUN)
        if await self._airflow.clear(job.dag, job.id):
            reach(Point.CLEARED)
            await self._ledger.change(job.id, lambda j: changes.asked(j))
        else:  # Its run was deleted there: it begins from the first task.
            await self._ledger.change(job.id, lambda j: changes.asked(j, Ask.TRIGGER))

    async def _forget(self, job: Job) -> None:
        """A job that is to be ended is not begun; whether Airflow has heard of it, it says."""
        if await self._airflow.find_run(job.dag, job.id) is not None:
            await self._ledger.change(job.id, lambda j: changes.asked(j))
        else:
            await self._ledger.change(job.id, _end_unheard)


def _begin(job: Job) -> Change | None:
    return changes.asked(job, Ask.TRIGGER_AGAIN) if job.ask is Ask.TRIGGER else None


def _refuse(job: Job, failure: Failure) -> Change:
    change = changes.fail(job, failure, now())
    change.set(settled=True)
    return change


def _end_unheard(job: Job) -> Change:
    change = changes.end_cancelled(job, now())
    change.set(ask=Ask.NOTHING, settled=True)
    return change
