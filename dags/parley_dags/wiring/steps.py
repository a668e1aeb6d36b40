"""How a graph and its tasks are made: the task's name is the function's, in Parley's Python.

    with graph("evaluate", hours=6, params=...):
        step = Steps("evaluate")
        step("evaluate", prepared=step("prepare"))

Knows nothing of what the functions do.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, XComArg, task

from parley_dags.wiring.retrying import RetryUnlessHopeless
from parley_dags.wiring.settings import PYTHON, RETRY_DELAY, ROOT

_JOB = "{{ job(dag.dag_id, run_id, params, triggering_asset_events) }}"
_NOBODY = "airflow"
# Of a graph that trains: the time of a run counts from its start, also while it waits for a core.
RUNS_MAX = 2
SHORT_RUNS_MAX = 8


def graph(
    kind: str, *, hours: int, runs_max: int = RUNS_MAX, schedule: Any = None, **options: Any
) -> DAG:
    """A graph whose runs are jobs of a kind, and are ended after some hours.

    `runs_max` runs are under way at a time. Airflow has two tasks run at a time, of whatever runs;
    more runs than that keep short work going while a task of one waits to be tried again.
    """
    return DAG(
        kind,
        schedule=schedule,
        catchup=False,
        max_active_runs=runs_max,
        dagrun_timeout=timedelta(hours=hours),
        # A job is a dict; rendered to text, it would have to be read again.
        render_template_as_native_obj=True,
        user_defined_macros={"job": job_of},
        tags=["parley"],
        **options,
    )


class Steps:
    """Makes tasks of the functions of a module of `training.tasks`."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __call__(self, name: str, **outcomes: XComArg) -> XComArg:
        """A task that calls a function with the job, and with what other tasks came to."""
        make = task.external_python(
            task_id=name,
            python=PYTHON,
            expect_airflow=False,
            env_vars={"PYTHONPATH": ROOT},
            retries=3,
            retry_delay=RETRY_DELAY,
            retry_policy=RetryUnlessHopeless(),
            # What was begun is brought to its end before more is begun.
            weight_rule="upstream",
        )
        made: XComArg = make(_call)(self._module, name, job=_JOB, outcomes=outcomes)
        return made


def job_of(kind: str, run_id: str, params: Mapping[str, Any], events: Any) -> dict[str, Any]:
    """The job as its tasks get it; what the latest event tells goes before what the form says.

    Events that came while as many runs as may be were at work are all told to the next run.
    """
    told = dict(params)
    for event in [event for of_asset in (events or {}).values() for event in of_asset][-1:]:
        told.update({name: value for name, value in event.extra.items() if name in params})
    submitted_by = told.pop("submitted_by", None) or _NOBODY
    conf = {name: value for name, value in told.items() if value}
    return {"id": run_id, "kind": kind, "conf": conf, "submitted_by": submitted_by}


def _call(module: str, name: str, job: dict[str, Any], outcomes: dict[str, Any]) -> Any:
    # All that a task's process runs of this file. Airflow copies the source of this function alone,
    # and to one that takes any keyword it would give its whole context.
    from training.tasks.entry import call

    return call(module, name, job, outcomes)
