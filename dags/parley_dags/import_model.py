"""Imports a model folder, as a DAG of Airflow."""

from parley_dags.wiring import fields
from parley_dags.wiring.steps import SHORT_RUNS_MAX, Steps, graph

with graph(
    "import_model",
    hours=6,
    runs_max=SHORT_RUNS_MAX,
    description="Import a model, and ask for its promotion.",
    params={
        "model": fields.model("The model that gets the version."),
        "source": fields.source(
            "Where the folder is: /path or file:///path on this machine, s3://bucket/prefix, or "
            "hub:ID."
        ),
        "no_promotion": fields.no_promotion(),
        "submitted_by": fields.submitted_by(),
    },
):
    step = Steps("importing")
    step("promote", registered=step("register"))
