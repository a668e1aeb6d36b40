"""Carries wishes to Airflow, and what Airflow shows back into the jobs: one loop for all jobs.

Everything is looked at anew each time, so that a restart of anything loses nothing: what Airflow is
to be asked for is written down before, and asking twice does no more than asking once.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

import structlog

from services.jobs import adopting, book, changes, metrics
from services.jobs.airflow import Airflow
from services.jobs.asking import Asking
from services.jobs.changes import Change
from services.jobs.ending import Ending
from services.jobs.ledger import Ledger, now
from services.jobs.model import Ask, Failure, Job, JobState, Run, RunState, Task
from services.jobs.tracking import Tracking
from services.rpc.errors import ParleyError, Unavailable
from services.rpc.store import Store

log = structlog.get_logger()

JOBS_MAX = 10_000
SWEEP_S = 30.0
LOOKUPS_AT_A_TIME = 4
ERRORS_MAX = 4
AWAY = "AIRFLOW_UNAVAILABLE"
GONE = Failure("RUN_GONE", "Its run was deleted in Airflow. Submit it again.")


class Follower:
    """Keeps jobs and runs together."""

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        airflow: Airflow,
        tracking: Tracking,
        poll_s: float,
        idle_poll_s: float,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._airflow = airflow
        self._asking = Asking(ledger, airflow)
        self._ending = Ending(store, ledger, airflow, tracking)
        self._poll_s, self._idle_poll_s = poll_s, idle_poll_s
        self._woken = asyncio.Event()
        self._swept_s = -SWEEP_S

    def wake(self) -> None:
        """Says that there may be something to do."""
        self._woken.set()

    async def run(self) -> None:
        """Follows until cancelled."""
        while True:
            has_work = await self._try()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_s if has_work else self._idle_poll_s):
                    await self._woken.wait()
            self._woken.clear()

    async def adopt_newest(self) -> bool:
        """Takes the runs that were made last into the jobs, where they are not there; returns
        whether there was any.

        Raises Unavailable.
        """
        return await adopting.adopt(self._store, await self._airflow.list_newest())

    async def follow(self) -> bool:
        """Looks once; returns whether anything runs or waits, so that it should look again soon.

        Raises Unavailable when Airflow or the database is away.
        """
        # Asked first: who does not answer to this is not asked to begin anything.
        active = {run.id: run for run in await self._airflow.list_active()}
        jobs = await self._store.run(lambda tx: book.list_unsettled(tx, JOBS_MAX))
        errors = await self._asking.carry_out(jobs)
        seen = [job for job in jobs if job.ask is Ask.NOTHING]
        runs = await self._find_runs(seen, active)
        tasks = await self._list_tasks(list(runs.values()))
        for job in seen:
            try:
                changed = await self._apply(job, runs.get(job.id), tasks.get(job.id, ()))
                await self._ending.end(changed, runs.get(job.id))
            except ParleyError as error:  # One that Airflow stumbles over keeps no other waiting.
                errors.append(error)
            if len(errors) >= ERRORS_MAX:
                break
        if errors:
            raise errors[0]
        await adopting.adopt(self._store, list(active.values()))
        await self._revive([active[name] for name in active.keys() - {job.id for job in jobs}])
        has_new = False
        if time.monotonic() - self._swept_s >= SWEEP_S:
            # One that began since we asked for the active ones: its reports wake nobody any more.
            has_new = await self.adopt_newest()
            self._swept_s = time.monotonic()
        return bool(active or jobs or has_new)

    async def _revive(self, runs: Sequence[Run]) -> None:
        """Runs go on that had ended: somebody cleared their tasks in Airflow."""
        ids = [run.id for run in runs]
        settled = await self._store.run(lambda tx: book.list_settled(tx, ids)) if ids else []
        for job in settled:
            if job.known:
                await self._ledger.change(job.id, _revive)
            else:  # Heard of after all, when nobody waited for it any more.
                await self._airflow.stop(job.dag, job.id)

    async def _try(self) -> bool:
        """Looks once, and says what went wrong; returns whether there is work, as far as known."""
        try:
            has_work = await self.follow()
            metrics.AIRFLOW_UP.set(1)
            return has_work
        except Unavailable as error:
            if error.reason == AWAY:
                metrics.AIRFLOW_UP.set(0)
                await self._say_waiting()
            log.warning("not followed", reason=error.reason)
        except ParleyError as error:
            log.warning("not followed", reason=error.reason, words=error.message)
        except Exception:
            log.exception("not followed")
        return True

    async def _say_waiting(self) -> None:
        with suppress(Unavailable):
            jobs = await self._store.run(lambda tx: book.list_unsettled(tx, JOBS_MAX))
            for job in jobs:
                if _is_left(job):
                    await self._ledger.change(job.id, _leave)

    async def _find_runs(self, jobs: Sequence[Job], active: Mapping[str, Run]) -> dict[str, Run]:
        """Finds the run of each job: most are active, and few have just ended."""
        room = asyncio.Semaphore(LOOKUPS_AT_A_TIME)

        async def find(job: Job) -> Run | None:
            if job.id in active:
                return active[job.id]
            async with room:
                return await self._airflow.find_run(job.dag, job.id)

        found = await asyncio.gather(*(find(job) for job in jobs))
        return {run.id: run for run in found if run is not None}

    async def _list_tasks(self, runs: Sequence[Run]) -> Mapping[str, Sequence[Task]]:
        begun = [run.id for run in runs if run.state is not RunState.QUEUED]
        return await self._airflow.list_tasks(begun) if begun else {}

    async def _apply(self, seen: Job, run: Run | None, tasks: Sequence[Task]) -> Job:
        def make(job: Job) -> Change | None:
            if job.epoch != seen.epoch or job.ask is not Ask.NOTHING:
                return None  # Begun anew since we looked: what we saw is of the time before.
            if run is not None:
                made = changes.follow(job, run, tasks, now())
                return made if made.job != job else None
            if job.state in (JobState.QUEUED, JobState.RUNNING):
                return changes.fail(job, GONE, now())
            return None

        return await self._ledger.change(seen.id, make)


def _revive(job: Job) -> Change | None:
    return changes.revive(job, now()) if job.settled else None


def _leave(job: Job) -> Change | None:
    return changes.wait(job) if _is_left(job) else None


def _is_left(job: Job) -> bool:
    waits = job.state is JobState.QUEUED and job.ask is not Ask.NOTHING
    return waits and job.message != changes.WAITING_WORDS
