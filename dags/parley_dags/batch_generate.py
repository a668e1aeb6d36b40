"""Answers a file of prompts, as a DAG of Airflow."""

from parley_dags.wiring import fields
from parley_dags.wiring.steps import SHORT_RUNS_MAX, Steps, graph

with graph(
    "batch_generate",
    hours=24,
    runs_max=SHORT_RUNS_MAX,
    description="Answer a file of prompts.",
    params={
        "model": fields.reference("Who answers: name, name@alias or name@number.", required=True),
        "dataset": fields.place("JSON lines with messages or prompt"),
        "tokens_max": fields.number("Longest answer, in tokens; 0: 256.", 32768),
        "temperature": fields.number("From 0 to 2.", 2, whole=False),
        "submitted_by": fields.submitted_by(),
    },
):
    Steps("generate")("generate")
