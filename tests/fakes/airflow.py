"""An Airflow that keeps the rules which matter here, behind its REST interface.

Tokens are made with 201 and asked for with 401; a run's id is taken once, 409 after; DAGs begin
paused; a run that is set failed has its running tasks failed and the others skipped. Nothing runs
by itself: a test says which task begins and how it ends. What it does not know, it refuses.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.jobs.kinds import WEIGHTS

API = "/api/v2"
USER, PASSWORD = "parley-jobs", "secret"
TIME = "2026-01-02T03:04:05Z"
ENDED = ("success", "failed", "skipped", "upstream_failed")
Json = dict[str, Any]
Handle = Callable[[Request], Awaitable[Response]]


@dataclass
class FakeRun:
    """One run and its tasks."""

    id: str
    dag: str
    conf: Json
    state: str = "queued"
    tasks: dict[str, Json] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tasks = {name: {"state": None, "tries": 0} for name in WEIGHTS[self.dag]}

    def begin(self, task: str) -> None:
        """Lets a task run, for the first time or again."""
        self.state = "running"
        self.tasks[task]["state"] = "running"
        self.tasks[task]["tries"] += 1

    def end(self, task: str, state: str = "success") -> None:
        """Lets a task end; the last one's end is the run's, and so is the first failure."""
        self.tasks[task]["state"] = state
        if state == "failed":
            self.state = "failed"
        elif all(one["state"] == "success" for one in self.tasks.values()):
            self.state = "success"

    def as_json(self) -> Json:
        """The run as Airflow answers it."""
        return {
            "dag_run_id": self.id,
            "dag_id": self.dag,
            "state": self.state,
            "conf": self.conf,
            "start_date": None if self.state == "queued" else TIME,
            "end_date": None,
        }

    def tasks_as_json(self) -> list[Json]:
        """Its tasks as Airflow answers them."""
        return [
            {
                "task_id": name,
                "dag_id": self.dag,
                "dag_run_id": self.id,
                "state": task["state"],
                "try_number": task["tries"],
                "start_date": TIME if task["tries"] else None,
                "end_date": TIME if task["state"] in ENDED else None,
            }
            for name, task in self.tasks.items()
        ]


@dataclass
class FakeAirflow:
    """The state, and what tests may do to the server."""

    runs: dict[str, FakeRun] = field(default_factory=dict)
    paused: set[str] = field(default_factory=lambda: set(WEIGHTS))
    tokens: set[str] = field(default_factory=set)
    down: bool = False
    slow_s: float = 0.0
    refuse: str = ""
    # DAGs that were not read yet.
    missing: set[str] = field(default_factory=set)
    triggers: list[str] = field(default_factory=list)
    clears: list[str] = field(default_factory=list)
    # How often somebody looked for what runs, and the runs that begin just behind the next look.
    looks: int = 0
    late: list[FakeRun] = field(default_factory=list)

    def app(self) -> Starlette:
        """The server."""
        run = API + "/dags/{dag}/dagRuns/{run}"
        routes: list[tuple[str, str, Handle]] = [
            ("POST", API + "/dags/~/dagRuns/list", self._list_runs),
            ("POST", API + "/dags/~/dagRuns/~/taskInstances/list", self._list_tasks),
            ("GET", API + "/dags", self._list_dags),
            ("PATCH", API + "/dags/{dag}", self._patch_dag),
            ("POST", API + "/dags/{dag}/dagRuns", self._trigger),
            ("POST", API + "/dags/{dag}/clearTaskInstances", self._clear),
            ("GET", run, self._get_run),
            ("PATCH", run, self._patch_run),
        ]
        guarded = [Route(path, self._guarded(work), methods=[verb]) for verb, path, work in routes]
        return Starlette(routes=[Route("/auth/token", self._login, methods=["POST"]), *guarded])

    def restart(self) -> None:
        """Forgets every token, as an Airflow with a new secret does."""
        self.tokens.clear()

    def _guarded(self, work: Handle) -> Handle:
        async def answer(request: Request) -> Response:
            if self.down:
                return Response("<html>503</html>", 503)
            await asyncio.sleep(self.slow_s)
            token = request.headers.get("authorization", "").removeprefix("Bearer ")
            if token not in self.tokens:
                return _refused(401, "Invalid JWT token")
            return await work(request)

        return answer

    async def _login(self, request: Request) -> Response:
        if self.down:
            return Response("<html>503</html>", 503)
        body = await request.json()
        if (body["username"], body["password"]) != (USER, PASSWORD):
            return _refused(401, "Invalid credentials")
        token = uuid4().hex
        self.tokens.add(token)
        return JSONResponse({"access_token": token}, 201)

    async def _trigger(self, request: Request) -> Response:
        dag, body = request.path_params["dag"], await request.json()
        if dag in self.missing or dag not in WEIGHTS:
            return _refused(404, f"Dag with dag_id: '{dag}' not found")
        if "logical_date" not in body:
            return _refused(422, "Field required: logical_date")
        if self.refuse:
            return _refused(400, self.refuse)
        self.triggers.append(body["dag_run_id"])
        if body["dag_run_id"] in self.runs:
            return _refused(409, "DAGRun already exists")
        self.runs[body["dag_run_id"]] = FakeRun(body["dag_run_id"], dag, body["conf"])
        return JSONResponse(self.runs[body["dag_run_id"]].as_json())

    async def _get_run(self, request: Request) -> Response:
        run = self.runs.get(request.path_params["run"])
        return JSONResponse(run.as_json()) if run else _refused(404, "not found")

    async def _patch_run(self, request: Request) -> Response:
        run = self.runs.get(request.path_params["run"])
        if run is None:
            return _refused(404, "not found")
        run.state = (await request.json())["state"]
        for task in run.tasks.values():
            if task["state"] not in ENDED:
                task["state"] = "failed" if task["state"] == "running" else "skipped"
        return JSONResponse(run.as_json())

    async def _clear(self, request: Request) -> Response:
        body = await request.json()
        run = self.runs[body["dag_run_id"]]
        if any(run.tasks[name]["state"] == "running" for name in body["task_ids"]):
            return _refused(409, "Task is running")
        for name in body["task_ids"]:
            run.tasks[name]["state"] = None
        run.state = "queued"
        self.clears.append(run.id)
        return JSONResponse({"task_instances": [], "total_entries": 0})

    async def _list_runs(self, request: Request) -> Response:
        body = await request.json()
        self.looks += "states" in body
        wanted = body.get("states") or ["queued", "running", "success", "failed"]
        found = [run.as_json() for run in self.runs.values() if run.state in wanted]
        if "states" in body:
            self.runs |= {run.id: run for run in self.late}
            self.late.clear()
        if body.get("order_by", "").startswith("-"):
            found.reverse()
        return JSONResponse({"dag_runs": _page(found, body), "total_entries": len(found)})

    async def _list_tasks(self, request: Request) -> Response:
        body = await request.json()
        runs = [self.runs[name] for name in body["dag_run_ids"] if name in self.runs]
        found = [task for run in runs for task in run.tasks_as_json()]
        return JSONResponse({"task_instances": _page(found, body), "total_entries": len(found)})

    async def _list_dags(self, request: Request) -> Response:
        dags = [self._dag(name) for name in sorted(WEIGHTS)]
        return JSONResponse({"dags": dags, "total_entries": len(dags)})

    async def _patch_dag(self, request: Request) -> Response:
        dag = request.path_params["dag"]
        if dag in self.missing or dag not in WEIGHTS:
            return _refused(404, f"Dag with id {dag} was not found")
        change = self.paused.add if (await request.json())["is_paused"] else self.paused.discard
        change(dag)
        return JSONResponse(self._dag(dag))

    def _dag(self, name: str) -> Json:
        timetables = {"nightly_evaluate": "0 3 * * *", "retrain_from_feedback": "Asset"}
        return {
            "dag_id": name,
            "description": f"What {name} does.",
            "is_paused": name in self.paused,
            "timetable_summary": timetables.get(name),
            "next_dagrun_run_after": TIME if name == "nightly_evaluate" else None,
        }


def _page(found: list[Json], body: Json) -> list[Json]:
    offset = body.get("page_offset", 0)
    return found[offset : offset + body.get("page_limit", 100)]


def _refused(status: int, words: str) -> Response:
    return JSONResponse({"detail": words}, status)
