"""Runs the jobs service, and that of feedback beside it: `python -m services.jobs`."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import uvloop
from parley.jobs.v1 import feedback_pb2_grpc

from services.jobs import process
from services.jobs.data import process as data
from services.jobs.data.servicer import SERVICE as FEEDBACK
from services.jobs.failpoints import Point
from services.jobs.settings import Settings
from services.rpc import failpoints, logs, metrics, settings


def mount(chosen: Settings) -> process.Mount:
    """Makes what puts the Feedback service on the server of the jobs."""

    @asynccontextmanager
    async def mounted(shared: process.Shared) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        bound = chosen.dataset_bytes_max
        async with data.prepare(
            chosen, shared.registry, shared.airflow, bytes_max=bound
        ) as feedback:
            feedback_pb2_grpc.add_FeedbackServicer_to_server(feedback.servicer, shared.server.grpc)
            yield feedback.store.open

    return mounted


if __name__ == "__main__":
    logs.configure("jobs")
    read = settings.read(Settings)
    failpoints.arm(read.fail_at, Point)
    metrics.expose(read.metrics_port)
    uvloop.run(process.serve(read, {FEEDBACK: mount(read)}))
