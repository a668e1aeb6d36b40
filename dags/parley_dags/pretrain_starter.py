"""Makes the starter model anew, as a DAG of Airflow."""

from parley_dags.wiring import fields
from parley_dags.wiring.steps import Steps, graph

with graph(
    "pretrain_starter",
    hours=24,
    description="Make the starter model anew, register it, ask for its promotion.",
    params={
        "model": fields.model(
            "The model that gets the version; the starter by default.", default=""
        ),
        "seed": fields.seed(),
        "no_promotion": fields.no_promotion(),
        "submitted_by": fields.submitted_by(),
    },
):
    step = Steps("starter")
    step("promote", registered=step("register", exported=step("train")))
