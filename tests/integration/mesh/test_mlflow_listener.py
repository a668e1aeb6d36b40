"""MLflow's listener of a real Envoy, with a fake server behind it."""

import dataclasses

import httpx
import pytest

from .programs import API_KEY, MESH_KEY, PAGE_KEY, free_ports, plan, running_envoy, running_facade

KEY = {"authorization": f"Bearer {API_KEY}"}
COOKIE = {"cookie": f"parley_session={PAGE_KEY}"}
SEARCH = "/api/2.0/mlflow/experiments/search"
FOREIGN = {"sec-fetch-site": "same-site"}


def with_mlflow(folder):
    """A topology where the fake server is MLflow as well."""
    topology = plan(folder)
    (port,) = free_ports(1)
    address = topology.gateway_address
    return dataclasses.replace(topology, mlflow_address=address, mlflow_port=port)


@pytest.fixture(scope="module")
def envoy(tmp_path_factory):
    """An Envoy with MLflow's listener."""
    folder = tmp_path_factory.mktemp("mlflow")
    with running_facade(folder), running_envoy(folder, with_mlflow(folder)) as envoy:
        yield envoy


def ask(envoy, path=SEARCH, method="GET", **headers):
    """One request to MLflow's listener."""
    address = f"http://127.0.0.1:{envoy.topology.mlflow_port}{path}"
    return httpx.request(method, address, headers=headers.get("headers"), timeout=10)


@pytest.mark.parametrize("headers", [KEY, COOKIE])
def test_a_key_or_the_pages_cookie_opens_all_of_it(envoy, headers):
    """And neither goes on to MLflow."""
    for path in ("/", SEARCH, "/ajax-api/2.0/mlflow/runs/search", "/static-files/a%2Fb.js"):
        answer = ask(envoy, path, headers=headers)
        assert answer.json()["path"] == path
        assert not {"authorization", "x-api-key"} & answer.json()["headers"].keys()
        assert PAGE_KEY not in answer.text


@pytest.mark.parametrize("headers", [{}, {"authorization": f"Bearer {MESH_KEY}"}])
def test_nothing_is_open_without_a_key(envoy, headers):
    """Not even the page; the refusal has the shape that MLflow's clients read."""
    for path in ("/", "/health", "/static-files/a.js", SEARCH):
        refused = ask(envoy, path, headers=headers)
        assert refused.status_code == 401
        assert refused.json()["error_code"] == "UNAUTHENTICATED"
        assert "MLFLOW_TRACKING_TOKEN" in refused.json()["message"]


def test_foreign_hosts_are_refused(envoy):
    """DNS that leads a foreign name here reaches nothing."""
    assert ask(envoy, headers={**KEY, "host": "evil.example"}).status_code == 421
    assert ask(envoy, headers={**KEY, "host": "localhost"}).status_code == 200


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("POST", {"origin": "http://evil.example"}, 403),
        ("GET", {**FOREIGN, "sec-fetch-mode": "cors"}, 403),
        ("GET", FOREIGN, 403),
        ("POST", {**FOREIGN, "sec-fetch-mode": "navigate"}, 403),
        ("GET", {**FOREIGN, "sec-fetch-mode": "navigate"}, 200),
        ("POST", {"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}, 200),
    ],
)
def test_other_pages_may_link_and_do_no_more(envoy, method, headers, status):
    """The cookie is sent to every port of this machine, so pages of other ports are foreign."""
    assert ask(envoy, method=method, headers={**COOKIE, **headers}).status_code == status


def test_only_envoy_says_who_calls(envoy):
    """A header of that name from outside is dropped."""
    told = ask(envoy, headers={**KEY, "x-parley-client": "somebody"}).json()["headers"]
    assert told["x-parley-client"] == "user"
