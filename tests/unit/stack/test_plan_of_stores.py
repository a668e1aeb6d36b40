"""The plan of a stack whose registry says what is served."""

import json

import pytest

from stack import plan
from stack.plan import Plan
from stack.ports import Ports
from stack.stores import credentials, life
from stack.stores.own import Own, OwnMlflow, OwnPostgres, OwnS3
from stack.supervisor_conf import render

PORTS = Ports(18080, 18081, 18082, 18083, (18084,), 18100, 15000, 19000)
OWN_POSTGRES = OwnPostgres(uri_parley="postgresql://h/a", uri_mlflow="postgresql://h/b")
OWN_S3 = OwnS3(endpoint="http://h:1", bucket="models", credentials_file="/keys")
OWN_MLFLOW = OwnMlflow(uri="http://h:2")


@pytest.fixture
def whole(home, tmp_path):
    """Makes the plan of a stack with stores."""

    def make(own: Own = Own()) -> Plan:  # noqa: B008 (it is frozen)
        credentials.ensure(home, own)
        return plan.build(
            home,
            ports=PORTS,
            replicas=1,
            model_dir=None,
            chat_dir=tmp_path / "dist",
            envoy=["/bin/envoy"],
            backing=life.programs(home, PORTS, own),
        )

    return make


def names(planned: Plan) -> list[list[str]]:
    """The programs of each wave."""
    return [[program.name for program in wave] for wave in planned.waves()]


def test_stores_start_before_what_needs_them(whole):
    """And stop after it, for the order is turned round then."""
    stores, first = [["postgres", "s3"], ["mlflow", "registry"]], ["mesh", "serving-0"]
    expected = [*stores, first, ["gateway"], ["envoy"]]
    assert names(whole()) == expected


@pytest.mark.parametrize(
    ("own", "first"),
    [
        (Own(postgres=OWN_POSTGRES), ["s3"]),
        (Own(s3=OWN_S3), ["postgres"]),
        (Own(mlflow=OWN_MLFLOW), ["postgres", "s3"]),
        (Own(postgres=OWN_POSTGRES, s3=OWN_S3, mlflow=OWN_MLFLOW), ["registry"]),
    ],
)
def test_what_the_user_has_is_not_started(whole, own, first):
    """Each store for itself."""
    planned = whole(own)
    assert names(planned)[0] == first
    assert planned.has("mlflow") is (own.mlflow is None)


def test_replicas_ask_the_registry_instead_of_a_folder(whole):
    """They are told where it is and where to keep what they fetch."""
    planned = whole()
    told = planned.program("serving-0").environment
    assert told["PARLEY_SERVING_REGISTRY_ADDRESS"] == planned.program("registry").probes[0].target
    assert "PARLEY_SERVING_CACHE_DIR" in told
    assert "PARLEY_SERVING_MODEL_DIR" not in told


def test_a_stack_of_one_folder_has_no_stores(planned):
    """Tests and measurements run exactly what they did."""
    assert names(planned) == [["mesh", "serving-0", "serving-1"], ["gateway"], ["envoy"]]
    assert "PARLEY_SERVING_REGISTRY_ADDRESS" not in planned.program("serving-0").environment


def test_no_secret_is_in_the_plan(whole, home):
    """Not in what supervisord reads, nor in what is recorded."""
    planned = whole()
    text = render(planned) + json.dumps(planned.to_json())
    assert all(credentials.password(home, role) not in text for role in credentials.ROLES)
    assert credentials.read_s3(home.s3_credentials)[1] not in text
    assert Plan.from_json(json.loads(json.dumps(planned.to_json()))) == planned


def test_postgresql_is_asked_to_hang_up_and_end(whole):
    """SIGTERM would wait for its clients."""
    assert "stopsignal=INT" in render(whole())


def test_the_edge_is_ready_when_mlflow_answers_through_it(whole):
    """Envoy's readiness counts each of its doors."""
    targets = [probe.target for probe in whole().program("envoy").probes]
    assert "http://127.0.0.1:15000/health" in targets
