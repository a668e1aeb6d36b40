"""The kinds of work: which DAG does one, in which tasks, and how much of the whole each task is.

The weights are shares of the time that a job takes; they need not be exact, only roughly fair.
"""

from collections.abc import Sequence

from services.jobs.model import Task, TaskState

_FINETUNE = {"prepare": 3, "train": 70, "evaluate": 12, "export": 8, "register": 5, "promote": 2}

WEIGHTS: dict[str, dict[str, float]] = {
    "finetune": dict(_FINETUNE),
    "pretrain_starter": {"train": 70, "register": 25, "promote": 5},
    "evaluate": {"prepare": 10, "evaluate": 90},
    "import_model": {"register": 95, "promote": 5},
    "batch_generate": {"generate": 100},
    "nightly_evaluate": {"prepare": 10, "evaluate": 90},
    "retrain_from_feedback": dict(_FINETUNE),
}

# What runs by itself is told as the same kind of work that a caller could ask for.
_TOLD_AS = {"nightly_evaluate": "evaluate", "retrain_from_feedback": "finetune"}

DAGS = tuple(WEIGHTS)


def kind_of(dag: str) -> str:
    """Finds the field of JobSpec that a DAG's work is told as."""
    return _TOLD_AS.get(dag, dag)


def first_tasks(dag: str) -> tuple[Task, ...]:
    """Lists a DAG's tasks in order, none of them begun."""
    return tuple(Task(name) for name in WEIGHTS[dag])


def in_order(dag: str, tasks: Sequence[Task]) -> tuple[Task, ...]:
    """Sorts tasks as the DAG has them; what is not known comes last."""
    places = {name: place for place, name in enumerate(WEIGHTS[dag])}
    return tuple(sorted(tasks, key=lambda task: (places.get(task.name, len(places)), task.name)))


def percent_of(dag: str, tasks: Sequence[Task]) -> float:
    """Computes how much of a job is done, from 0 to 100, from how far its tasks are."""
    weights = WEIGHTS[dag]
    done = {task.name: 100.0 if task.state in _DONE else task.percent for task in tasks}
    whole = sum(weights.values())
    return sum(weight * done.get(name, 0.0) for name, weight in weights.items()) / whole


_DONE = (TaskState.SUCCEEDED, TaskState.SKIPPED)
