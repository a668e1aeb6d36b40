"""The graphs of dags/, as Airflow itself reads them, against the contract of jobs.

Parley's environment has no Airflow: a script in Airflow's own tells what it sees.
"""

import ast
import re
import sys
from graphlib import TopologicalSorter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from buf.validate import validate_pb2
from google.protobuf.descriptor import FieldDescriptor
from parley.jobs.v1 import jobs_pb2 as pb

from stack.environment.places import ROOT

from .scripts import Told, told_by

_FINETUNE = "prepare train evaluate export register promote"
# Each graph, with the tasks of it in their order and the kind of job that it is.
GRAPHS = {
    "finetune": (_FINETUNE, "finetune"),
    "pretrain_starter": ("train register promote", "pretrain_starter"),
    "evaluate": ("prepare evaluate", "evaluate"),
    "import_model": ("register promote", "import_model"),
    "batch_generate": ("generate", "batch_generate"),
    "nightly_evaluate": ("prepare evaluate", "evaluate"),
    "retrain_from_feedback": (_FINETUNE, "finetune"),
}
# Of these more runs than two may be under way; two tasks run at a time all the same.
SHORT = ("batch_generate", "evaluate", "import_model")
ANNOUNCE = "announce_feedback"
PARSE_S_MAX = 5
TYPES = {
    FieldDescriptor.CPPTYPE_STRING: "string",
    FieldDescriptor.CPPTYPE_ENUM: "string",
    FieldDescriptor.CPPTYPE_BOOL: "boolean",
    FieldDescriptor.CPPTYPE_DOUBLE: "number",
    FieldDescriptor.CPPTYPE_UINT32: "integer",
    FieldDescriptor.CPPTYPE_UINT64: "integer",
}


def _read(home: Path) -> Told:
    return told_by(
        "inspect_graphs.py",
        ROOT / "dags",
        home=home,
        AIRFLOW__CORE__DAGS_FOLDER=str(ROOT / "dags"),
        PARLEY_DAGS_PYTHON=sys.executable,
        PARLEY_DAGS_ROOT=str(ROOT),
    )


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """What Airflow sees in dags/."""
    return _read(tmp_path_factory.mktemp("airflow"))


def test_airflow_reads_every_graph_and_nothing_else(told: Told):
    """No file fails to be imported, and each graph is found."""
    assert told["errors"] == {}
    assert told["graphs"].keys() == GRAPHS.keys() | {ANNOUNCE}


def test_news_of_feedback_become_the_asset_s_event(told: Told):
    """The one graph that is no job has an outlet: what retraining is scheduled on."""
    graph = told["graphs"][ANNOUNCE]
    assert graph["outlets"] == told["graphs"]["retrain_from_feedback"]["assets"]
    assert graph["paused"] is False
    assert list(graph["params"]) == ["model", "dataset", "submitted_by"]


@pytest.mark.parametrize("name", GRAPHS)
def test_tasks_run_in_their_order(told: Told, name: str):
    """Each task waits for all before it, and gets what those came to that it asks for."""
    edges = told["graphs"][name]["edges"]
    order = GRAPHS[name][0].split()
    assert list(TopologicalSorter(edges).static_order()) == order
    for before, after in pairwise(order):
        assert before in edges[after]


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_are_bounded(told: Told, name: str):
    """Runs, retries and time have a bound, and Parley's Python runs the tasks."""
    graph = told["graphs"][name]
    assert graph["retries"] == [[3, 90.0]]
    assert graph["max_active_runs"] == (8 if name in SHORT else 2)
    assert 0 < graph["timeout_s"] <= 24 * 3600
    assert graph["catchup"] is False
    assert graph["python"] == [sys.executable]


def test_two_graphs_begin_by_themselves(told: Told):
    """The nightly one waits to be let go; the one of feedback does not."""
    graphs = told["graphs"]
    begun = {name for name, graph in graphs.items() if graph["schedule"] or graph["assets"]}
    assert begun == {"nightly_evaluate", "retrain_from_feedback"}
    assert graphs["nightly_evaluate"]["schedule"] == "0 3 * * *"
    assert graphs["nightly_evaluate"]["paused"] is True
    assert graphs["retrain_from_feedback"]["assets"] == ["parley://feedback/"]
    assert graphs["retrain_from_feedback"]["paused"] is False


def test_graphs_are_the_same_each_time(told: Told, tmp_path: Path):
    """Two processes read the same graphs: Airflow makes no version of what did not change."""
    again = _read(tmp_path)
    assert {name: graph["hash"] for name, graph in told["graphs"].items()} == {
        name: graph["hash"] for name, graph in again["graphs"].items()
    }


def test_graphs_are_read_quickly(told: Told, record_testsuite_property: Any):
    """Airflow reads every file again each few seconds."""
    for file, took_s in told["parse_s"].items():
        record_testsuite_property(f"parse_s.{file}", took_s)
    assert max(told["parse_s"].values()) < PARSE_S_MAX


@pytest.mark.parametrize("name", GRAPHS)
def test_the_form_is_the_contract(told: Told, name: str):
    """The form has the fields of the spec, by name and type; and whose behalf, which keys tell."""
    message = _message(name)
    params = told["graphs"][name]["params"]
    assert list(params) == [*(field.name for field in message.fields), "submitted_by"]
    for field in message.fields:
        found = params[field.name]["schema"]["type"]
        wanted = "array" if field.is_repeated else TYPES[field.cpp_type]
        assert wanted in ([found] if isinstance(found, str) else found), field.name
        assert params[field.name]["description"], field.name


@pytest.mark.parametrize("name", sorted({kind for _, kind in GRAPHS.values()}))
def test_the_form_refuses_what_the_contract_refuses(told: Told, name: str):
    """Patterns and bounds of the form are the contract's."""
    params = told["graphs"][name]["params"]
    for field in _message(name).fields:
        schema = params[field.name]["schema"]
        rules = field.GetOptions().Extensions[validate_pb2.field]
        if field.cpp_type == FieldDescriptor.CPPTYPE_STRING and not field.is_repeated:
            assert schema.get("pattern", "") == rules.string.pattern, field.name
            assert schema.get("maxLength", 0) == rules.string.max_bytes, field.name
            assert schema.get("minLength", 0) == rules.string.min_bytes, field.name
        elif schema["type"] in ("integer", "number"):
            most = getattr(rules, rules.WhichOneof("type")).lte
            assert (schema["minimum"], schema["maximum"]) == (0, most), field.name
        elif field.is_repeated:
            items = rules.repeated.items.string
            assert schema["maxItems"] == rules.repeated.max_items, field.name
            assert schema["items"]["maxLength"] == items.max_bytes, field.name


def test_methods_have_short_and_whole_names(told: Told):
    """People write lora; Jobs writes the contract's name."""
    schema = told["graphs"]["finetune"]["params"]["method"]["schema"]
    whole = pb.TrainingMethod.keys()
    short = [name.removeprefix("TRAINING_METHOD_").lower() for name in whole]
    assert schema["examples"] == short[1:]
    assert all(re.search(schema["pattern"], name) for name in [*whole, *short[1:]])
    assert not re.search(schema["pattern"], "loral")


@pytest.mark.parametrize("name", GRAPHS)
def test_tasks_call_what_there_is(told: Told, name: str):
    """Each task's function is in training/tasks, and takes what it is given."""
    for task, (module, function, *given) in told["graphs"][name]["calls"].items():
        assert function == task
        assert _arguments(module, function) == given


def _message(name: str) -> Any:
    return pb.JobSpec.DESCRIPTOR.fields_by_name[GRAPHS[name][1]].message_type


def _arguments(module: str, function: str) -> list[str]:
    tree = ast.parse((ROOT / f"training/tasks/{module}.py").read_bytes())
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            return [argument.arg for argument in node.args.args]
        if isinstance(node, ast.ImportFrom) and function in {name.name for name in node.names}:
            return _arguments((node.module or "").rpartition(".")[2], function)
    raise AssertionError(f"training/tasks/{module}.py has no {function}")
