"""A Jobs service in memory that keeps the contract's rules: no Airflow, no store, no work done.

What happens to a job is told by the test, or by `plays`, which every submitted job goes through. It
runs behind Parley's own server and interceptor, so its errors look as the service's do.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from parley.jobs.v1 import jobs_pb2 as pb
from parley.jobs.v1 import jobs_pb2_grpc as pb_grpc

from services.rpc import errors

PAGE = 50
ENDED = (pb.JOB_STATE_SUCCEEDED, pb.JOB_STATE_FAILED, pb.JOB_STATE_CANCELLED)
TASKS = ("prepare", "train", "evaluate", "export", "register", "promote")
Play = Callable[["FakeJobs", str], None]


class FakeJobs(pb_grpc.JobsServicer):
    """Holds everything in plain sight, for tests to look at and to change."""

    def __init__(self) -> None:
        self.jobs: dict[str, pb.Job] = {}
        self.events: dict[str, list[pb.JobEvent]] = {}
        self.schedules = {
            "nightly_evaluate": pb.Schedule(
                name="nightly_evaluate",
                description="Measures the champions.",
                timetable="0 3 * * *",
            )
        }
        self.metadata: list[dict[str, str]] = []
        self.watched: list[int] = []
        self.watching = 0
        # What becomes of a job once it is submitted.
        self.play: Play = lambda jobs, job_id: None
        # Raised one by one, a call each.
        self.refusals: list[errors.ParleyError] = []
        # Each watch takes one: after so many events it is cut off.
        self.drops: list[int] = []
        self._changed = asyncio.Event()

    def add_to(self, server: grpc.aio.Server) -> None:
        """Adds the service to a server."""
        pb_grpc.add_JobsServicer_to_server(self, server)

    def add(self, job_id: str, spec: pb.JobSpec | None = None, **fields: Any) -> pb.Job:
        """Takes a job on."""
        default = pb.JobSpec(finetune=pb.FinetuneSpec(model="m", dataset="/data.jsonl"))
        job = pb.Job(id=job_id, spec=spec or default, state=pb.JOB_STATE_QUEUED, **fields)
        job.create_time.GetCurrentTime()
        if job.spec.HasField("finetune"):
            job.tasks.extend(pb.JobTask(name=name, state=pb.TASK_STATE_WAITING) for name in TASKS)
        self.jobs[job_id], self.events[job_id] = job, []
        return job

    def tell(self, job_id: str, time_s: int = 0, **what: Any) -> pb.JobEvent:
        """Lets something happen to a job, at so many seconds since the epoch."""
        job, known = self.jobs[job_id], self.events[job_id]
        event = pb.JobEvent(revision=len(known) + 1, **what)
        event.time.FromSeconds(time_s)
        known.append(event)
        job.revision = event.revision
        match event.WhichOneof("what"):
            case "state":
                job.state = event.state
            case "progress":
                job.percent, job.message = event.progress.percent, event.progress.message
            case "metrics":
                job.metrics.update(event.metrics.values)
            case "task":
                for task in job.tasks:
                    if task.name == event.task.name:
                        task.CopyFrom(event.task)
        self._changed.set()
        return event

    def note(self, context: grpc.aio.ServicerContext) -> None:
        """Keeps what came with a call."""
        self.metadata.append(dict(context.invocation_metadata() or ()))
        if self.refusals:
            raise self.refusals.pop(0)

    async def SubmitJob(self, request: pb.SubmitJobRequest, context: Any) -> pb.SubmitJobResponse:
        """The same id and fields are the same job."""
        self.note(context)
        known = self.jobs.get(request.request_id)
        if known is not None and known.spec != request.spec:
            raise errors.AlreadyExists("That id is another job's.", reason="REQUEST_ID_TAKEN")
        if known is None:
            who = self.metadata[-1].get("x-parley-principal", "local")
            known = self.add(request.request_id, request.spec, submitted_by=who)
            self.play(self, known.id)
        return pb.SubmitJobResponse(job=known)

    async def GetJob(self, request: pb.GetJobRequest, context: Any) -> pb.GetJobResponse:
        """By its id."""
        self.note(context)
        return pb.GetJobResponse(job=self._job(request.id))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Any) -> pb.ListJobsResponse:
        """Newest first."""
        self.note(context)
        found = [
            job
            for job in reversed(self.jobs.values())
            if not request.states or job.state in request.states
            if request.kind in ("", job.spec.WhichOneof("work"))
        ]
        first, size = int(request.page_token or 0), request.page_size or PAGE
        more = str(first + size) if len(found) > first + size else ""
        return pb.ListJobsResponse(jobs=found[first : first + size], next_page_token=more)

    async def CancelJob(self, request: pb.CancelJobRequest, context: Any) -> pb.CancelJobResponse:
        """At once, for nothing runs."""
        self.note(context)
        job = self._job(request.id)
        if job.state in ENDED:
            raise errors.FailedPrecondition("The job has ended.", reason="JOB_ENDED")
        self.tell(job.id, state=pb.JOB_STATE_CANCELLING)
        told = pb.CancelJobResponse(job=job)
        self.tell(job.id, state=pb.JOB_STATE_CANCELLED)
        return told

    async def RetryJob(self, request: pb.RetryJobRequest, context: Any) -> pb.RetryJobResponse:
        """Not one that succeeded."""
        self.note(context)
        job = self._job(request.id)
        if job.state == pb.JOB_STATE_SUCCEEDED:
            raise errors.FailedPrecondition("The job succeeded.", reason="JOB_SUCCEEDED")
        job.ClearField("error")
        self.tell(job.id, state=pb.JOB_STATE_QUEUED)
        self.play(self, job.id)
        return pb.RetryJobResponse(job=job)

    async def WatchJob(
        self, request: pb.WatchJobRequest, context: Any
    ) -> AsyncIterator[pb.WatchJobResponse]:
        """The job, its events, and the job again."""
        self.note(context)
        self.watched.append(request.revision)
        job = self._job(request.id)
        left = self.drops.pop(0) if self.drops else None
        self.watching += 1
        try:
            yield pb.WatchJobResponse(job=job)
            async for event in self._events(job, request.revision, left):
                yield pb.WatchJobResponse(event=event)
            yield pb.WatchJobResponse(job=job)
        finally:
            self.watching -= 1

    async def _events(
        self, job: pb.Job, revision: int, left: int | None
    ) -> AsyncIterator[pb.JobEvent]:
        """Those after `revision` to the job's end, or to the drop after `left` of them."""
        known, sent = self.events[job.id], 0
        while True:
            self._changed.clear()
            while sent != left and revision + sent < len(known):
                yield known[revision + sent]
                sent += 1
            if sent == left:
                raise errors.Unavailable("Going away.", reason="GOING_AWAY")
            if job.state in ENDED:
                return
            await self._changed.wait()

    async def ListSchedules(self, request: Any, context: Any) -> pb.ListSchedulesResponse:
        """By name."""
        self.note(context)
        return pb.ListSchedulesResponse(schedules=self.schedules.values())

    async def PauseSchedule(
        self, request: pb.PauseScheduleRequest, context: Any
    ) -> pb.PauseScheduleResponse:
        """Or lets it go on."""
        self.note(context)
        found = self.schedules.get(request.name)
        if found is None:
            raise errors.NotFound("There is no such schedule.", reason="SCHEDULE_NOT_FOUND")
        found.paused = request.paused
        return pb.PauseScheduleResponse(schedule=found)

    def _job(self, job_id: str) -> pb.Job:
        if job_id not in self.jobs:
            raise errors.NotFound(f"There is no job {job_id}.", reason="JOB_NOT_FOUND")
        return self.jobs[job_id]


def succeed(jobs: FakeJobs, job_id: str, **result: Any) -> None:
    """A play: trains in four steps, and ends with `result`; promoted, unless it says otherwise."""
    jobs.tell(job_id, 1000, state=pb.JOB_STATE_RUNNING)
    train = pb.JobTask(name="train", state=pb.TASK_STATE_RUNNING, attempts=1)
    train.start_time.FromSeconds(1000)
    jobs.tell(job_id, 1000, task=train)
    for step in range(1, 5):
        now_s = 1000 + 10 * step
        values = {"loss": 2.0 / step, "tokens_per_s": 1234.0}
        jobs.tell(job_id, now_s, metrics=pb.MetricsEvent(step=step, values=values))
        progress = pb.ProgressEvent(percent=20.0 * step, message=f"epoch {step} of 4")
        jobs.tell(job_id, now_s, progress=progress)
        jobs.tell(job_id, now_s, line=pb.LogLine(task="train", text=f"step {step} is done"))
    train.state = pb.TASK_STATE_SUCCEEDED
    train.end_time.FromSeconds(1042)
    jobs.tell(job_id, 1042, task=train)
    measured = {"eval.exact_match": 0.75, "champion.eval.exact_match": 0.5}
    jobs.tell(job_id, 1045, metrics=pb.MetricsEvent(step=4, values=measured))
    job = jobs.jobs[job_id]
    model = getattr(job.spec, job.spec.WhichOneof("work")).model
    values = {"model": model, "version": 3, "promotion": pb.PROMOTION_OUTCOME_PROMOTED}
    job.result.CopyFrom(pb.JobResult(**{**values, "dataset_digest": "d" * 64, **result}))
    jobs.tell(job_id, 1050, progress=pb.ProgressEvent(percent=100, message="done"))
    jobs.tell(job_id, 1050, state=pb.JOB_STATE_SUCCEEDED)


def fail(jobs: FakeJobs, job_id: str) -> None:
    """A play: the loss is lost."""
    jobs.tell(job_id, 1000, state=pb.JOB_STATE_RUNNING)
    jobs.tell(job_id, 1001, line=pb.LogLine(task="train", text="loss is nan at step 7"))
    error = pb.JobError(reason="LOSS_NOT_FINITE", message="The loss became NaN.", task="train")
    jobs.jobs[job_id].error.CopyFrom(error)
    jobs.tell(job_id, 1002, state=pb.JOB_STATE_FAILED)
