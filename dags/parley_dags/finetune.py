"""Trains a model on a dataset, and on people's feedback when there is a new dataset of it."""

from airflow.sdk import Param

from parley_dags.wiring import fields
from parley_dags.wiring.feedback import FEEDBACK
from parley_dags.wiring.steps import Steps, graph


def _form(model: Param, dataset: Param) -> dict[str, Param]:
    return {
        "model": model,
        "dataset": dataset,
        "base": fields.reference(
            "The model to begin with, as name, name@alias or name@number; the model's own champion "
            "by default, else the starter. Unused from scratch.",
            required=False,
        ),
        "method": fields.method(),
        "epochs": fields.number("Times that the data are gone through; 0: Parley chooses.", 1000),
        "learning_rate": fields.number("Peak; 0: Parley chooses by method.", 1, whole=False),
        "seed": fields.seed(),
        "no_promotion": fields.no_promotion(),
        "harness_tasks": fields.harness_tasks(),
        "verbatim": fields.switch("Trains on the questions as written, without other wordings."),
        "submitted_by": fields.submitted_by(),
    }


def _wire() -> None:
    step = Steps("finetune")
    prepared = step("prepare")
    trained = step("train", prepared=prepared)
    evaluated = step("evaluate", prepared=prepared, trained=trained)
    exported = step("export", prepared=prepared, trained=trained, evaluated=evaluated)
    registered = step("register", prepared=prepared, evaluated=evaluated, exported=exported)
    step("promote", registered=registered)


with graph(
    "finetune",
    hours=24,
    description="Train a model on a dataset, measure it, register it, ask for its promotion.",
    params=_form(
        fields.model("The model that gets a new version; it is made when there is none."),
        fields.place("The data"),
    ),
):
    _wire()

with graph(
    "retrain_from_feedback",
    hours=24,
    schedule=[FEEDBACK],
    is_paused_upon_creation=False,
    description="Train a model on what people thought of its answers, once that is a dataset.",
    params=_form(
        fields.model("The model; the event names it.", default=""),
        fields.place("The event names them. The data", required=False),
    ),
):
    _wire()
