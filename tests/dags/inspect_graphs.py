"""Reads the graphs as Airflow does and prints what they are, as JSON; runs in Airflow's Python.

python inspect_graphs.py DAGS_FOLDER
"""

import json
import sys
from pathlib import Path
from typing import Any

from airflow.dag_processing.dagbag import BundleDagBag
from airflow.models.serialized_dag import SerializedDagModel
from airflow.sdk.definitions._internal.types import is_arg_set
from airflow.serialization.serialized_objects import DagSerialization


def _told(graph: Any) -> dict[str, Any]:
    return {
        "edges": {t.task_id: sorted(t.upstream_task_ids) for t in graph.tasks},
        "calls": {t.task_id: _call(t) for t in graph.tasks},
        "retries": sorted({(t.retries, t.retry_delay.total_seconds()) for t in graph.tasks}),
        "python": sorted({t.python for t in graph.tasks if hasattr(t, "python")}),
        "params": {name: _field(graph.params.get_param(name)) for name in graph.params},
        "hash": SerializedDagModel.hash(DagSerialization.to_dict(graph)),
        "max_active_runs": graph.max_active_runs,
        "timeout_s": graph.dagrun_timeout.total_seconds(),
        "catchup": graph.catchup,
        "paused": graph.is_paused_upon_creation,
        "schedule": str(graph.schedule) if isinstance(graph.schedule, str) else "",
        "assets": [asset.uri for asset in graph.schedule or () if hasattr(asset, "uri")],
        "outlets": [asset.uri for task in graph.tasks for asset in task.outlets],
    }


def _call(task: Any) -> list[str]:
    """The module and function that a task calls, and what it gives them."""
    return [*task.op_args, "job", *task.op_kwargs.get("outcomes", [])]


def _field(param: Any) -> dict[str, Any]:
    default = {"default": param.value} if is_arg_set(param.value) else {}
    return {"description": param.description, "schema": param.schema, **default}


def main(folder: Path) -> None:
    """Prints errors, the graphs by their ids, and how long each file took."""
    bag = BundleDagBag(dag_folder=folder, bundle_path=folder, bundle_name="dags")
    found = {
        "errors": bag.import_errors,
        "graphs": {name: _told(graph) for name, graph in bag.dags.items()},
        "parse_s": {s.file.lstrip("/"): s.duration.total_seconds() for s in bag.dagbag_stats},
    }
    print("\n" + json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
