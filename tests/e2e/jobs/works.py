"""A whole Parley with Airflow, as the tests here give it work."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import httpx
from parley.jobs.v1 import jobs_pb2 as pb
from parley.jobs.v1 import jobs_pb2_grpc as pb_grpc

from services.rpc.channel import CLIENT_OPTIONS, call_metadata
from stack import keys
from stack.home import Home
from stack.readiness import ask
from tests.e2e.registry.product import POLL_S, Product

JOB_S = 900.0
AIRFLOW_S = 300.0
SCHEDULES = 2
CALL_S = 30.0
# What passes by itself; a run that was begun in Airflow is a job within a second.
SOON = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.NOT_FOUND,
)
ENDED = (pb.JOB_STATE_SUCCEEDED, pb.JOB_STATE_FAILED, pb.JOB_STATE_CANCELLED)


class Works(Product):
    """The product with Airflow, which answers by now."""

    def __init__(self, home: Home) -> None:
        super().__init__(home, jobs=True)
        self.until_airflow()

    def until_airflow(self) -> None:
        """Waits until Airflow answers: nothing else does."""
        (probe,) = self.running.plan.program("airflow-api").probes
        deadline = time.monotonic() + AIRFLOW_S
        while waiting := ask(probe):
            assert time.monotonic() < deadline, f"Airflow after {AIRFLOW_S:.0f} s: {waiting}"
            time.sleep(POLL_S * 4)
        while len(self._schedules()) < SCHEDULES:
            assert time.monotonic() < deadline, "Airflow has not read its graphs"
            time.sleep(POLL_S * 4)

    def _schedules(self) -> list[pb.Schedule]:
        """What runs by itself, as far as Airflow has read it."""
        found = self._patiently(lambda: self.ask("ListSchedules", pb.ListSchedulesRequest()))
        return list(found.schedules) if found else []

    def all_ended(self) -> list[pb.Job]:
        """The jobs that are over; none while who could tell is away."""
        found = self._patiently(lambda: self.ask("ListJobs", pb.ListJobsRequest(states=ENDED)))
        return list(found.jobs) if found else []

    @contextmanager
    def jobs(self, name: str = "") -> Iterator[pb_grpc.JobsStub]:
        """The contract's stub, through the mesh, without the key."""
        with grpc.insecure_channel(self.running.mesh_address, options=CLIENT_OPTIONS) as channel:
            yield pb_grpc.JobsStub(channel)

    def ask(self, rpc: str, request: Any, name: str = "") -> Any:
        """One call of the jobs' service. Raises grpc.RpcError."""
        metadata = call_metadata(keys.new_request_id(), self.key(name))
        with self.jobs() as stub:
            return getattr(stub, rpc)(request, timeout=CALL_S, metadata=metadata)

    def submit(self, *, request_id: str = "", name: str = "", **work: Any) -> pb.Job:
        """Submits one job, `finetune={...}` for example."""
        request = pb.SubmitJobRequest(
            spec=pb.JobSpec(**work), request_id=request_id or str(uuid.uuid4())
        )
        return self.ask("SubmitJob", request, name).job

    def job(self, job_id: str) -> pb.Job:
        """The job as it is."""
        return self.ask("GetJob", pb.GetJobRequest(id=job_id)).job

    def until(
        self, job_id: str, holds: Any, what: str, within_s: float = JOB_S, *, past_end: bool = False
    ) -> pb.Job:
        """Waits until something holds of a job; fails past the bound, or once it has ended, unless
        it is to hold `past_end`."""
        deadline = time.monotonic() + within_s
        while True:
            found = self._patiently(lambda: self.job(job_id))
            if found is not None and holds(found):
                return found
            open_yet = found is None or found.state not in ENDED
            assert open_yet or past_end, f"ended before {what}: {found}"
            assert time.monotonic() < deadline, f"not within {within_s:.0f} s: {what}; {found}"
            time.sleep(POLL_S * 4)

    def ended(self, job_id: str, within_s: float = JOB_S) -> pb.Job:
        """Waits for a job's end."""
        return self.until(job_id, lambda job: job.state in ENDED, "its end", within_s)

    def until_task(self, job_id: str, task: str) -> pb.Job:
        """Waits until a task has told of its work."""

        def runs(job: pb.Job) -> bool:
            return any(one.name == task and one.percent > 0 for one in job.tasks)

        return self.until(job_id, runs, f"{task} is at work")

    def failed_task(self, job_id: str, task: str) -> pb.JobTask:
        """Waits until Airflow has seen a task fail: whether it is tried again is known by then."""
        over = (pb.TASK_STATE_FAILED, pb.TASK_STATE_RETRYING)

        def fails(job: pb.Job) -> bool:
            return any(one.name == task and one.state in over for one in job.tasks)

        job = self.until(job_id, fails, f"{task} fails", past_end=True)
        return next(one for one in job.tasks if one.name == task)

    def mlflow(self) -> httpx.Client:
        """MLflow's REST, through Envoy."""
        return self.http(self.running.mlflow_url)

    def mlflow_runs(self, job_id: str) -> list[dict[str, Any]]:
        """The runs of a job."""
        with self.mlflow() as client:
            experiments = client.post(
                "/api/2.0/mlflow/experiments/search", json={"max_results": 1000}
            ).json()
            ids = [one["experiment_id"] for one in experiments.get("experiments", [])]
            found = client.post(
                "/api/2.0/mlflow/runs/search",
                json={"experiment_ids": ids, "filter": f"tags.`parley.job` = '{job_id}'"},
            ).json()
        return found.get("runs", [])

    def _patiently(self, ask: Callable[[], Any]) -> Any:
        """What is told, or None while who could tell is away."""
        try:
            return ask()
        except grpc.RpcError as error:
            assert error.code() in SOON
            return None
