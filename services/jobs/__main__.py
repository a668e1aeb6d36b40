"""Runs the jobs service: `python -m services.jobs`."""

import uvloop

from services.jobs import process
from services.jobs.failpoints import Point
from services.jobs.settings import Settings
from services.rpc import failpoints, logs, metrics, settings

if __name__ == "__main__":
    logs.configure("jobs")
    read = settings.read(Settings)
    failpoints.arm(read.fail_at, Point)
    metrics.expose(read.metrics_port)
    uvloop.run(process.serve(read))
