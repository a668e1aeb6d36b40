"""What Parley's own service may do in Airflow: what it calls, of Parley's graphs, and nothing else.

Pure, and of the standard library alone, since Airflow's Python reads it.
"""

SERVICE = "parley-jobs"
# All graphs of dags/. A graph that is not named here cannot be begun by the service.
GRAPHS = frozenset(
    {
        "announce_feedback",
        "batch_generate",
        "evaluate",
        "finetune",
        "import_model",
        "nightly_evaluate",
        "pretrain_starter",
        "retrain_from_feedback",
    }
)
# What is asked of a graph, by Airflow's name for it; "" stands for the graph itself.
READ = frozenset({"", "RUN", "TASK", "TASK_INSTANCE"})
# Changing a graph is to pause it or to let it go on; a run, to end it; its tasks, to clear them.
CHANGED = frozenset({"", "RUN", "TASK_INSTANCE"})
BEGUN = frozenset({"RUN"})


def may(method: str, entity: str, graph: str | None) -> bool:
    """Whether the service may call a method on a graph, or on what belongs to it.

    Args:
        method: GET, POST, PUT, DELETE or any other of HTTP; PUT stands for PATCH too.
        entity: what of the graph, as DagAccessEntity of Airflow has it; "" for the graph.
        graph: its id; None for a list of all, which Airflow then cuts down by asking for each.
    """
    if graph is None:
        return method == "GET" and entity in READ
    allowed = {"GET": READ, "PUT": CHANGED, "POST": BEGUN}.get(method, frozenset())
    return graph in GRAPHS and entity in allowed
