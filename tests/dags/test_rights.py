"""Who may do what in Airflow, as its own auth manager decides."""

import pytest

from services.jobs.data.announce import DAG
from services.jobs.kinds import DAGS
from stack.environment.places import ROOT
from stack.jobs import airflow_rights
from stack.jobs.airflow_cfg import AUTH_MANAGER
from stack.jobs.airflow_users import ADMIN, SERVICE

from .scripts import Told, told_by

OURS = ("finetune", "announce_feedback")
# All that services/jobs calls, by what Airflow asks its auth manager for it.
CALLED = {
    ("GET", "", None),  # the schedules
    ("PUT", "", "finetune"),  # pause, and let go on
    ("POST", "RUN", "finetune"),
    ("GET", "RUN", None),
    ("GET", "RUN", "finetune"),
    ("PUT", "RUN", "finetune"),  # end it
    ("GET", "TASK_INSTANCE", None),
    ("PUT", "TASK_INSTANCE", "finetune"),  # clear it
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """What the manager decides, loaded as the API server loads it."""
    home = tmp_path_factory.mktemp("airflow")
    told = {"PYTHONPATH": str(ROOT), "AIRFLOW__CORE__AUTH_MANAGER": AUTH_MANAGER}
    return told_by("inspect_rights.py", home=home, **told)


def test_the_service_may_do_what_it_does(told: Told):
    """Each call that the jobs' service makes is allowed."""
    allowed = {tuple(one) for one in told["may"][SERVICE]["graphs"]}
    assert allowed >= CALLED


def test_the_service_may_do_nothing_else_of_graphs(told: Told):
    """No graph, run or task is deleted, no code, value or log is read, no stranger is touched."""
    allowed = {tuple(one) for one in told["may"][SERVICE]["graphs"]}
    assert {graph for _, _, graph in allowed} == {*OURS, None}
    assert {method for method, _, _ in allowed} == {"GET", "PUT", "POST"}
    assert {entity for method, entity, _ in allowed if method == "GET"} == airflow_rights.READ
    assert {entity for method, entity, _ in allowed if method == "PUT"} == airflow_rights.CHANGED
    assert {entity for method, entity, _ in allowed if method == "POST"} == {"RUN"}
    assert {method for method, _, graph in allowed if graph is None} == {"GET"}


def test_all_else_is_closed_to_the_service(told: Told):
    """Connections, variables, pools, assets, settings and every view of the page."""
    assert told["may"][SERVICE]["rest"] == []


def test_people_keep_their_roles(told: Told):
    """The administrator may do all; what nobody is assigned to is for nobody."""
    assert ["DELETE", "", "finetune"] in told["may"][ADMIN]["graphs"]
    assert {"DELETE connection", "view WEBSITE"} <= set(told["may"][ADMIN]["rest"])


def test_no_decision_is_left_to_the_role(told: Told):
    """A decision that a later Airflow adds must be closed here first."""
    assert told["left_open"] == []


def test_the_graphs_are_those_that_the_service_knows():
    """One list is read by Airflow's Python, the other by Parley's."""
    assert {*DAGS, DAG} == airflow_rights.GRAPHS
