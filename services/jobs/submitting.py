"""Taking a job on: what must hold before, and that it is taken on once.

A job that is here costs nothing to ask for again. Requests with one id wait for each other, so that
the data are read once, and the database sees to it that of several processes one is first.
"""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from weakref import WeakValueDictionary

from sqlalchemy.ext.asyncio import AsyncConnection

from services.jobs import book, changes
from services.jobs.failpoints import Point
from services.jobs.kinds import first_tasks
from services.jobs.ledger import now
from services.jobs.model import Job
from services.rpc.errors import AlreadyExists, FailedPrecondition, ResourceExhausted
from services.rpc.failpoints import reach
from services.rpc.store import Store

Check = Callable[[str, Mapping[str, Any]], Awaitable[None]]


class Submitting:
    """Takes jobs on. `check` raises what a caller should hear of a kind of work and its fields."""

    def __init__(self, store: Store, check: Check, wake: Callable[[], None], jobs_max: int) -> None:
        self._store = store
        self._check = check
        self._wake = wake
        self._jobs_max = jobs_max
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def submit(self, job_id: str, kind: str, conf: Mapping[str, Any], principal: str) -> Job:
        """Takes a job on, or finds it.

        Raises AlreadyExists where the id belongs to another, ResourceExhausted, and what the check
        raises.
        """
        job = Job(
            id=job_id,
            dag=kind,
            kind=kind,
            conf={**conf, "submitted_by": principal},
            submitted_by=principal,
            model=str(conf.get("model", "")),
            fingerprint=_fingerprint(kind, conf, principal),
            tasks=first_tasks(kind),
        )
        async with self._locks.setdefault(job_id, asyncio.Lock()):
            found = await self._store.run(lambda tx: book.find(tx, job_id))
            if found is None:
                await self._check(kind, conf)
                found = await self._store.run(lambda tx: self._insert(tx, job))
                reach(Point.SUBMIT_COMMITTED)
                self._wake()
        if found.fingerprint != job.fingerprint:
            raise AlreadyExists(
                "This request_id belongs to a job with other fields. Make a new one.",
                reason="REQUEST_ID_TAKEN",
                metadata={"request_id": job_id},
            )
        return found

    async def _insert(self, tx: AsyncConnection, job: Job) -> Job:
        if await book.count_unsettled(tx) >= self._jobs_max:
            raise ResourceExhausted(
                f"{self._jobs_max} jobs wait or run already. Ask again when some have ended.",
                reason="TOO_MANY_JOBS",
                retry_after_s=10,
            )
        await book.insert_new(tx, changes.submit(job), now())
        reach(Point.SUBMIT_UNCOMMITTED)
        return await book.get(tx, job.id)


def jobs_off() -> FailedPrecondition:
    """Makes the error of a Parley that has no Airflow."""
    return FailedPrecondition(
        "This Parley was started without jobs. Start it with them: parley up.", reason="JOBS_OFF"
    )


def _fingerprint(kind: str, conf: Mapping[str, Any], principal: str) -> str:
    """What makes a request another one: its fields, and who asks."""
    asked = json.dumps([kind, principal, conf], sort_keys=True)
    return hashlib.sha256(asked.encode()).hexdigest()
