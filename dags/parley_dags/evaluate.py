"""Measures a version beside the champion: when asked, and each night."""

from airflow.sdk import Param

from parley_dags.wiring import fields
from parley_dags.wiring.settings import NIGHTLY_MODEL
from parley_dags.wiring.steps import SHORT_RUNS_MAX, Steps, graph


def _form(model: Param) -> dict[str, Param]:
    return {
        "model": model,
        "version": fields.text("Number or alias of the version; the champion by default."),
        "dataset": fields.place(
            "The held-out part of the version's own data by default, or", required=False
        ),
        "harness_tasks": fields.harness_tasks(),
        "submitted_by": fields.submitted_by(),
    }


def _wire() -> None:
    step = Steps("evaluate")
    step("evaluate", prepared=step("prepare"))


with graph(
    "evaluate",
    hours=6,
    runs_max=SHORT_RUNS_MAX,
    description="Measure a version on a dataset, beside the champion.",
    params=_form(fields.model("The model.")),
):
    _wire()

with graph(
    "nightly_evaluate",
    hours=6,
    schedule="0 3 * * *",
    is_paused_upon_creation=True,
    description="Measure the champion each night at three.",
    params=_form(fields.model("The model.", default=NIGHTLY_MODEL)),
):
    _wire()
