"""Ends jobs everywhere: their run in Airflow, their processes, their run in MLflow.

A job that is being cancelled is CANCELLED when Airflow has ended its run, none of its processes has
told anything for `SILENCE_S`, and its run in MLflow is closed. A process hears in the answer to its
next report that it must end, and reports about once a second.
"""

from datetime import timedelta

from services.jobs import book, changes
from services.jobs.airflow import Airflow
from services.jobs.changes import Change
from services.jobs.failpoints import Point
from services.jobs.ledger import Ledger, now
from services.jobs.model import Job, JobState, Run
from services.jobs.tracking import FAILED, KILLED, Tracking
from services.rpc.errors import Unavailable
from services.rpc.failpoints import reach
from services.rpc.store import Store

SILENCE_S = 3.0
# A job is CANCELLED without MLflow after so long; its run there is closed as soon as it can be.
MLFLOW_PATIENCE = timedelta(seconds=30)


class Ending:
    """Ends what is to end."""

    def __init__(self, store: Store, ledger: Ledger, airflow: Airflow, tracking: Tracking) -> None:
        self._store = store
        self._ledger = ledger
        self._airflow = airflow
        self._tracking = tracking

    async def end(self, job: Job, run: Run | None) -> None:
        """Takes a job that is to end one step further; leaves others alone.

        Raises Unavailable when Airflow or the database is away.
        """
        if job.settled or not (job.state.ended or job.state is JobState.CANCELLING):
            return
        if run is not None and not run.state.ended:
            await self._airflow.stop(job.dag, job.id)
            reach(Point.STOPPED)
        elif job.state is JobState.CANCELLING:
            await self._cancel(job)
        else:
            await self._settle(job)

    async def _cancel(self, job: Job) -> None:
        silent = job.cancel_time is None or now() - job.cancel_time > timedelta(seconds=SILENCE_S)
        quiet = await self._store.run(lambda tx: book.is_quiet(tx, job.id, SILENCE_S, now()))
        if not (silent and quiet):
            return
        closed = await self._close(job, KILLED)
        late = job.cancel_time is None or now() - job.cancel_time > MLFLOW_PATIENCE
        if closed or late:
            await self._ledger.change(job.id, lambda j: _end_cancelled(j, closed))

    async def _settle(self, job: Job) -> None:
        status = {JobState.CANCELLED: KILLED, JobState.FAILED: FAILED}.get(job.state)
        if status is None or await self._close(job, status):
            await self._ledger.change(job.id, lambda j: _settle(j, job.epoch))

    async def _close(self, job: Job, status: str) -> bool:
        try:
            await self._tracking.close(job.id, str(job.result.get("mlflow_run_id", "")), status)
        except Unavailable:
            return False
        return True


def _end_cancelled(job: Job, settled: bool) -> Change | None:
    if job.state is not JobState.CANCELLING:
        return None
    change = changes.end_cancelled(job, now())
    change.set(settled=settled)
    return change


def _settle(job: Job, epoch: int) -> Change | None:
    return changes.settle(job) if job.epoch == epoch and job.state.ended else None
