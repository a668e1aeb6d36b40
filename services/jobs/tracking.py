"""Closes a job's run in MLflow, when the process that should have done so was ended.

A run is found by its tag, whatever experiment it is in. Knows nothing of Parley's tables.
"""

import time
from typing import Any

from services.rpc.mlflow_wire import MISSING, MlflowWire

JOB_TAG = "parley.job"
KILLED, FAILED = "KILLED", "FAILED"
RUNNING = ("RUNNING", "SCHEDULED")
EXPERIMENTS_MAX = 1000
RUNS_MAX = 100


class Tracking:
    """Runs of jobs in one MLflow server."""

    def __init__(self, wire: MlflowWire) -> None:
        self._wire = wire

    async def close(self, job_id: str, run_id: str, status: str) -> None:
        """Ends each run of a job that is still open; `run_id`, where known, is one of them.

        Safe to repeat. Raises Unavailable when MLflow is away.
        """
        found = await self._tagged(job_id)
        if run_id:
            answer = await self._wire.ask("GET", "runs/get", {"run_id": run_id}, forgive=MISSING)
            found += [answer["run"]] if answer else []
        opened = {run["info"]["run_id"] for run in found if run["info"].get("status") in RUNNING}
        for one in sorted(opened):
            ended = {"run_id": one, "status": status, "end_time": int(time.time() * 1000)}
            await self._wire.ask("POST", "runs/update", ended, forgive=MISSING)

    async def _tagged(self, job_id: str) -> list[Any]:
        every = {"max_results": EXPERIMENTS_MAX}
        answer = await self._wire.ask("POST", "experiments/search", every)
        ids = [experiment["experiment_id"] for experiment in answer.get("experiments", [])]
        if not ids:
            return []
        wanted = {
            "experiment_ids": ids,
            "filter": f"tags.`{JOB_TAG}` = '{job_id}'",
            "max_results": RUNS_MAX,
        }
        runs: list[Any] = (await self._wire.ask("POST", "runs/search", wanted)).get("runs", [])
        return runs
