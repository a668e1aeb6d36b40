"""What the jobs service asks of Airflow: runs, their tasks, schedules.

Knows nothing of Parley's tables. What is asked twice is done once: a run has the id of its job.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from services.jobs.airflow_wire import CONFLICT, MISSING, AirflowWire
from services.jobs.kinds import DAGS
from services.jobs.model import Run, RunState, Schedule, Task, TaskState
from services.rpc.errors import NotFound

PAGE = 100
PAGES_MAX = 20
ACTIVE = (RunState.QUEUED, RunState.RUNNING)

_STATES = {
    "running": TaskState.RUNNING,
    "restarting": TaskState.RETRYING,
    "up_for_retry": TaskState.RETRYING,
    "up_for_reschedule": TaskState.RUNNING,
    "deferred": TaskState.RUNNING,
    "success": TaskState.SUCCEEDED,
    "failed": TaskState.FAILED,
    "upstream_failed": TaskState.SKIPPED,
    "skipped": TaskState.SKIPPED,
    "removed": TaskState.SKIPPED,
}
Found = Mapping[str, Any]


class Airflow:
    """Our DAGs in one Airflow."""

    def __init__(self, wire: AirflowWire) -> None:
        self._wire = wire
        self._unpaused: set[str] = set()

    async def trigger(self, dag: str, run_id: str, conf: Mapping[str, Any]) -> None:
        """Begins a run; one that is there is left as it is.

        Raises Unavailable, also while Airflow has not read the DAG yet, and InvalidArgument.
        """
        await self._unpause(dag)
        new = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf)}
        await self._wire.ask("POST", f"/dags/{dag}/dagRuns", new, forgive=[CONFLICT])

    async def find_run(self, dag: str, run_id: str) -> Run | None:
        """Finds a run."""
        found = await self._wire.ask("GET", _path(dag, run_id), forgive=[MISSING])
        return _to_run(found) if found else None

    async def list_active(self) -> list[Run]:
        """Lists the runs of our DAGs that have not ended."""
        return await self._list_runs({"states": list(ACTIVE), "order_by": "id"}, PAGES_MAX)

    async def list_newest(self) -> list[Run]:
        """Lists the runs of our DAGs that were made last."""
        return await self._list_runs({"order_by": "-id"}, 1)

    async def list_tasks(self, run_ids: Collection[str]) -> dict[str, list[Task]]:
        """Lists the tasks of runs, by the run's id."""
        tasks: dict[str, list[Task]] = {run_id: [] for run_id in run_ids}
        wanted = {"dag_ids": list(DAGS), "dag_run_ids": sorted(run_ids)}
        for found in await self._list("/dags/~/dagRuns/~/taskInstances/list", wanted, PAGES_MAX):
            tasks[found["dag_run_id"]].append(_to_task(found))
        return tasks

    async def stop(self, dag: str, run_id: str) -> None:
        """Ends a run as failed; one that is not there is as good as ended."""
        await self._wire.ask("PATCH", _path(dag, run_id), {"state": "failed"}, forgive=[MISSING])

    async def clear(self, dag: str, run_id: str) -> bool:
        """Lets a run go on from the tasks that did not succeed; returns whether there is a run.

        What runs is left alone.
        """
        if await self.find_run(dag, run_id) is None:
            return False
        await self._unpause(dag)
        tasks = (await self.list_tasks([run_id]))[run_id]
        again = [task.name for task in tasks if task.state is not TaskState.SUCCEEDED]
        wanted = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": again,
            # Tasks behind the one that failed were skipped, not failed, when the run was ended.
            "only_failed": False,
            "reset_dag_runs": True,
            "prevent_running_task": True,
        }
        if again:
            path = f"/dags/{dag}/clearTaskInstances"
            await self._wire.ask("POST", path, wanted, forgive=[CONFLICT])
        return True

    async def list_schedules(self) -> list[Schedule]:
        """Lists our DAGs that run by themselves, by name."""
        found = await self._wire.ask("GET", "/dags", query={"limit": PAGE, "order_by": "dag_id"})
        dags = [dag for dag in (found or {}).get("dags", []) if dag["dag_id"] in DAGS]
        return [_to_schedule(dag) for dag in dags if dag.get("timetable_summary")]

    async def pause(self, dag: str, paused: bool) -> Schedule:
        """Holds a schedule, or lets it go on. Raises NotFound."""
        if dag not in {schedule.name for schedule in await self.list_schedules()}:
            raise NotFound(
                f"There is no schedule {dag!r}. List them.",
                reason="SCHEDULE_NOT_FOUND",
                metadata={"name": dag},
            )
        changed = await self._wire.ask("PATCH", f"/dags/{dag}", {"is_paused": paused})
        return _to_schedule(changed or {})

    async def _unpause(self, dag: str) -> None:
        """DAGs are made paused; ours are wanted as soon as somebody asks for one."""
        if dag not in self._unpaused:
            await self._wire.ask("PATCH", f"/dags/{dag}", {"is_paused": False})
            self._unpaused.add(dag)

    async def _list_runs(self, wanted: dict[str, Any], pages: int) -> list[Run]:
        asked = {"dag_ids": list(DAGS), **wanted}
        return [_to_run(run) for run in await self._list("/dags/~/dagRuns/list", asked, pages)]

    async def _list(self, path: str, wanted: dict[str, Any], pages: int) -> list[Found]:
        listed: list[Found] = []
        for page in range(pages):
            asked = {**wanted, "page_limit": PAGE, "page_offset": page * PAGE}
            answer = await self._wire.ask("POST", path, asked) or {}
            found = answer.get("dag_runs", answer.get("task_instances", []))
            listed += found
            if len(found) < PAGE:
                break
        return listed


def _path(dag: str, run_id: str) -> str:
    return f"/dags/{dag}/dagRuns/{quote(run_id, safe='')}"


def _to_run(found: Found) -> Run:
    return Run(
        id=found["dag_run_id"],
        dag=found["dag_id"],
        state=RunState(found["state"]),
        conf=found.get("conf") or {},
        start_time=_to_time(found.get("start_date")),
        end_time=_to_time(found.get("end_date")),
    )


def _to_task(found: Found) -> Task:
    attempts = found.get("try_number") or 0
    state = _STATES.get(found.get("state") or "")
    if state is None:  # It waits for its turn: the first one, or another.
        state = TaskState.RETRYING if attempts > 1 else TaskState.WAITING
    return Task(
        name=found["task_id"],
        state=state,
        attempts=attempts,
        start_time=_to_time(found.get("start_date")),
        end_time=_to_time(found.get("end_date")),
    )


def _to_schedule(found: Found) -> Schedule:
    paused = bool(found.get("is_paused"))
    return Schedule(
        name=found["dag_id"],
        description=found.get("description") or "",
        timetable=found.get("timetable_summary") or "",
        paused=paused,
        next_run_time=None if paused else _to_time(found.get("next_dagrun_run_after")),
    )


def _to_time(found: str | None) -> datetime | None:
    return datetime.fromisoformat(found) if found else None
