"""parley.jobs.v1.Jobs: proto to domain and back."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

import grpc
from parley.jobs.v1 import jobs_pb2 as pb
from parley.jobs.v1 import jobs_pb2_grpc as pb_grpc

from services.jobs import book, changes, messages, metrics
from services.jobs.airflow import Airflow
from services.jobs.book import JobFilter
from services.jobs.changes import Change
from services.jobs.failpoints import Point
from services.jobs.follower import Follower
from services.jobs.ledger import Ledger, now
from services.jobs.model import Job, JobState, Report
from services.jobs.specs import to_conf
from services.jobs.submitting import Submitting, jobs_off
from services.jobs.watch import Watch
from services.rpc import pages
from services.rpc.errors import FailedPrecondition, NotFound
from services.rpc.failpoints import reach
from services.rpc.principal import read_principal
from services.rpc.store import Store

SERVICE = pb.DESCRIPTOR.services_by_name["Jobs"].full_name
PAGE_JOBS = 50

Context = grpc.aio.ServicerContext


@dataclass(frozen=True, slots=True)
class Parts:
    """What the servicer answers from; without Airflow there is no follower."""

    store: Store
    ledger: Ledger
    watch: Watch
    submitting: Submitting
    airflow: Airflow | None
    follower: Follower | None
    airflow_url: str
    starter: str


class Servicer(pb_grpc.JobsServicer):
    """Answers from the parts of the service."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._run = parts.store.run

    async def SubmitJob(
        self, request: pb.SubmitJobRequest, context: Context
    ) -> pb.SubmitJobResponse:
        """Takes a job on."""
        self._airflow()
        kind, conf = to_conf(request.spec)
        if kind == "pretrain_starter" and not conf["model"]:
            conf["model"] = self._parts.starter
        principal = read_principal(context.invocation_metadata())
        job_id = request.request_id.lower()
        job = await self._parts.submitting.submit(job_id, kind, conf, principal)
        return pb.SubmitJobResponse(job=self._shown(job))

    async def GetJob(self, request: pb.GetJobRequest, context: Context) -> pb.GetJobResponse:
        """Gets a job."""
        job = await self._run(lambda tx: book.get(tx, request.id))
        return pb.GetJobResponse(job=self._shown(job))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        """Lists jobs, newest first."""
        before, _ = pages.read(request, int)
        size = request.page_size or PAGE_JOBS
        states = [messages.to_state(state) for state in request.states if state]
        wanted = JobFilter(states, request.kind, request.model)
        found = await self._run(lambda tx: book.list_jobs(tx, wanted, before, size + 1))
        numbers = {job.id: job.number for job in found}
        listed = [messages.from_listed(job, self._parts.airflow_url) for job in found]
        page, token = pages.cut(listed, size, lambda job: numbers[job.id])
        return pb.ListJobsResponse(jobs=page, next_page_token=token)

    async def CancelJob(
        self, request: pb.CancelJobRequest, context: Context
    ) -> pb.CancelJobResponse:
        """Begins to end a job."""
        principal = read_principal(context.invocation_metadata())
        words = f"Cancelled by {principal}. {request.reason}".strip()
        job = await self._parts.ledger.change(request.id, lambda job: _cancel(job, words))
        reach(Point.CANCEL_COMMITTED)
        self._wake()
        return pb.CancelJobResponse(job=self._shown(job))

    async def RetryJob(self, request: pb.RetryJobRequest, context: Context) -> pb.RetryJobResponse:
        """Begins an ended job anew."""
        self._airflow()
        job = await self._parts.ledger.retry(request.id)
        self._wake()
        return pb.RetryJobResponse(job=self._shown(job))

    async def WatchJob(
        self, request: pb.WatchJobRequest, context: Context
    ) -> AsyncIterator[pb.WatchJobResponse]:
        """Streams a job's events."""
        metrics.WATCHERS.inc()
        try:
            async with aclosing(self._parts.watch.follow(request.id, request.revision)) as told:
                async for one in told:
                    if isinstance(one, Job):
                        yield pb.WatchJobResponse(job=self._shown(one))
                    else:
                        yield pb.WatchJobResponse(event=messages.from_event(one))
        finally:
            metrics.WATCHERS.dec()

    async def ListSchedules(
        self, request: pb.ListSchedulesRequest, context: Context
    ) -> pb.ListSchedulesResponse:
        """Lists what runs by itself: nothing, without Airflow."""
        airflow = self._parts.airflow
        found = await airflow.list_schedules() if airflow else []
        return pb.ListSchedulesResponse(schedules=[messages.from_schedule(one) for one in found])

    async def PauseSchedule(
        self, request: pb.PauseScheduleRequest, context: Context
    ) -> pb.PauseScheduleResponse:
        """Holds a schedule, or lets it go on."""
        schedule = await self._airflow().pause(request.name, request.paused)
        self._wake()
        return pb.PauseScheduleResponse(schedule=messages.from_schedule(schedule))

    async def ReportProgress(
        self, request: pb.ReportProgressRequest, context: Context
    ) -> pb.ReportProgressResponse:
        """Takes what a task's process tells."""
        reason = await self._report(messages.to_report(request))
        metrics.REPORTS.labels("stop" if reason else "go_on").inc()
        return pb.ReportProgressResponse(stop=bool(reason), reason=reason)

    async def _report(self, told: Report) -> str:
        try:
            return await self._parts.ledger.report(told)
        except NotFound:
            if self._parts.follower is None:
                raise
        # Its run was begun in Airflow a moment ago.
        await self._parts.follower.adopt_newest()
        self._wake()
        return await self._parts.ledger.report(told)

    def _airflow(self) -> Airflow:
        if self._parts.airflow is None:
            raise jobs_off()
        return self._parts.airflow

    def _wake(self) -> None:
        if self._parts.follower is not None:
            self._parts.follower.wake()

    def _shown(self, job: Job) -> pb.Job:
        return messages.from_job(job, self._parts.airflow_url)


def _cancel(job: Job, words: str) -> Change | None:
    if job.state in (JobState.CANCELLING, JobState.CANCELLED):
        return None
    if job.state.ended:
        raise FailedPrecondition(
            f"The job has {job.state}; there is nothing to cancel.",
            reason="JOB_ENDED",
            metadata={"id": job.id, "state": str(job.state)},
        )
    return changes.cancel(job, now(), words)
