"""Says that there is a new dataset of feedback, by the asset that retraining is scheduled on.

Parley's user may run DAGs and may not write assets' events, so that this is how it tells of them.
"""

from collections.abc import Mapping
from typing import Any

from airflow.sdk import task

from parley_dags.wiring import fields
from parley_dags.wiring.feedback import FEEDBACK
from parley_dags.wiring.steps import graph


@task(outlets=[FEEDBACK])
def announce(told: Mapping[str, Any], *, outlet_events: Any) -> None:
    """Puts what the run was told into the asset's event."""
    outlet_events[FEEDBACK].extra = dict(told)


with graph(
    "announce_feedback",
    hours=1,
    description="Tell what is scheduled on feedback of a new dataset of it.",
    is_paused_upon_creation=False,
    params={
        "model": fields.model("The model that the feedback is of."),
        "dataset": fields.place("The dataset"),
        "submitted_by": fields.submitted_by(),
    },
):
    announce("{{ params }}")
