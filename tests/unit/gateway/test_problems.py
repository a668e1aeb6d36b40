"""From a service's error to a problem of /api."""

import json

import grpc
import pytest

from gateway import errors as gateway_errors
from gateway import problems
from services.rpc import errors

FOREIGN = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]
OWN_KEY = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


@pytest.mark.parametrize("code", FOREIGN)
def test_words_that_are_not_ours_never_reach_a_client(code: grpc.StatusCode):
    """A proxy's or gRPC's text becomes ours, with the table's status."""
    problem = problems.of_service(errors.from_status(code, "upstream 10.0.0.7 refused", None))
    wanted = grpc.StatusCode.INTERNAL if code in OWN_KEY else code
    assert problem.status == gateway_errors.TABLE[wanted].status
    assert problem.reason == wanted.name
    assert "10.0.0.7" not in problem.detail


def test_mesh_without_a_service_says_so():
    """And is no fault of ours."""
    error = errors.from_status(grpc.StatusCode.UNIMPLEMENTED, "", None)
    assert problems.of_service(error).detail == "This Parley has no such service."


def test_our_words_and_reasons_pass():
    """With the field to blame, and when to come back."""
    error = errors.Unavailable(
        "MLflow is down.", reason="MLFLOW_DOWN", metadata={"field": "model"}, retry_after_s=2.5
    )
    reply = problems.of_service(error).reply("r-1")
    assert json.loads(reply.body) == {
        "type": "urn:parley:problem:mlflow-down",
        "title": "Not available now",
        "status": 503,
        "detail": "MLflow is down.",
        "reason": "MLFLOW_DOWN",
        "request_id": "r-1",
        "field": "model",
    }
    assert reply.headers["retry-after"] == "3"


def test_each_status_of_the_table_has_a_title():
    """None is left to a stopgap."""
    assert {row.status for row in gateway_errors.TABLE.values()} <= problems.TITLES.keys()
