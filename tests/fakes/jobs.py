"""A Jobs that keeps what tasks report, and may tell them to stop."""

from typing import Any

import grpc
from parley.jobs.v1 import jobs_pb2 as pb
from parley.jobs.v1.jobs_pb2_grpc import JobsServicer


class FakeJobs(JobsServicer):
    """Holds every report in plain sight. A repeat of a report counts once."""

    def __init__(self) -> None:
        self.reports: list[pb.ReportProgressRequest] = []
        self.stop = False
        # Answered UNAVAILABLE, one call each.
        self.outages = 0
        self._seen: set[tuple[str, int]] = set()

    def ReportProgress(self, request: pb.ReportProgressRequest, context: Any) -> Any:
        """Keeps it."""
        if self.outages:
            self.outages -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        if (request.attempt, request.sequence) not in self._seen:
            self._seen.add((request.attempt, request.sequence))
            self.reports.append(request)
        return pb.ReportProgressResponse(stop=self.stop, reason="told so" if self.stop else "")

    def of(self, task: str) -> list[pb.ReportProgressRequest]:
        """The reports of one task."""
        return [report for report in self.reports if report.task == task]

    @property
    def result(self) -> pb.JobResult:
        """What has come of the job, all tasks together."""
        whole = pb.JobResult()
        for report in self.reports:
            whole.MergeFrom(report.result)
        return whole
