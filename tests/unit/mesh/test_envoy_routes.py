"""Which requests lead where; the default is nowhere."""

import json

import pytest

from services.mesh.routes import (
    CHAT_PATHS,
    DATASETS,
    JOB_EVENTS,
    JOBS_SERVICES,
    MESH_SERVICES,
    REGISTRY_SERVICE,
)

PUBLIC = {"/", "/login", "/healthz", "/favicon.ico", "/favicon.svg", "/assets"}
AUTH = "envoy.filters.http.api_key_auth"


@pytest.fixture
def routes(managers):
    """Each listener's routes, in their order."""
    return {
        name: manager["route_config"]["virtual_hosts"][0]["routes"]
        for name, manager in managers.items()
    }


def path_of(route):
    match = route["match"]
    if "safe_regex" in match:
        return match["safe_regex"]["regex"]
    return match.get("path") or match.get("path_separated_prefix") or match["prefix"]


def test_only_the_page_goes_without_a_key(routes):
    """Each other route of the edge that leads anywhere asks for one."""
    open_paths = {
        path_of(route)
        for route in routes["edge"]
        if "route" in route and AUTH in route.get("typed_per_filter_config", {})
    }
    assert open_paths == PUBLIC
    assert all("typed_per_filter_config" not in route for route in routes["mesh"])


def test_public_routes_pass_no_key_on(routes):
    """A key sent to a public path by mistake stays at the edge."""
    for route in routes["edge"]:
        if "route" in route and path_of(route) in PUBLIC:
            assert route["request_headers_to_remove"] == ["authorization", "x-api-key"]


def test_what_is_not_listed_is_refused(routes):
    """The last route of the edge is a 404 for everything."""
    last = routes["edge"][-1]
    assert (last["match"], last["direct_response"]) == ({"prefix": "/"}, {"status": 404})


def test_refusals_come_before_what_they_guard(routes):
    """Foreign hosts, foreign pages and large bodies are turned away before any route matches."""
    for name, statuses in (("edge", [421, 403, 403, 403, 413]), ("stats", [421])):
        first = routes[name][: len(statuses)]
        assert [route["direct_response"]["status"] for route in first] == statuses


@pytest.mark.parametrize("path", [*CHAT_PATHS, JOB_EVENTS])
def test_streams_have_their_own_bounds(routes, path):
    """No timeout on the whole answer, but on silence, and on the stream's life."""
    (action,) = [route["route"] for route in routes["edge"] if path_of(route) == path]
    assert action["timeout"] == "0s"
    assert action["idle_timeout"] == "600s"
    assert action["max_stream_duration"]["max_stream_duration"] == "3600s"


def test_plain_answers_have_fifteen_seconds(routes):
    """Every route of the edge has a bound."""
    for route in routes["edge"]:
        if "route" in route and path_of(route) not in (*CHAT_PATHS, JOB_EVENTS, DATASETS):
            assert route["route"]["timeout"] == "15s"


def test_a_dataset_may_be_larger_than_a_chat(routes):
    """It has a bound of its own, before the one of all other bodies, and two minutes."""
    mine = [route for route in routes["edge"] if path_of(route) == DATASETS]
    refused, taken = mine
    assert refused["direct_response"] == {"status": 413}
    over = refused["match"]["headers"][0]["range_match"]["start"]
    assert int(over) == (64 << 20) + 1
    assert taken["route"]["timeout"] == "120s"
    others = [r for r in routes["edge"] if r.get("direct_response") == {"status": 413}]
    assert routes["edge"].index(taken) < routes["edge"].index(others[-1])


def test_mesh_serves_the_listed_services_only(routes):
    """Serving, reflection and health by the serving cluster, the registry and the jobs by their
    own; Envoy keeps no caller's deadline, which would end a stream as INTERNAL."""
    homes = {path_of(route): route["route"]["cluster"] for route in routes["mesh"]}
    served = {f"/{one}/": "serving" for one in MESH_SERVICES}
    jobs = {f"/{one}/": "jobs" for one in JOBS_SERVICES}
    assert homes == {**served, f"/{REGISTRY_SERVICE}/": "registry", **jobs}
    for route in routes["mesh"]:
        assert route["route"]["timeout"] == "0s"
        assert route["route"]["max_stream_duration"] == {"max_stream_duration": "3600s"}


def test_a_stack_without_stores_has_nothing_of_them(bare_config):
    """No listener, cluster or route leads to what is not there."""
    resources = bare_config["static_resources"]
    assert [one["name"] for one in resources["listeners"]] == ["edge", "mesh", "stats"]
    assert [one["name"] for one in resources["clusters"]] == ["gateway", "serving", "admin"]
    assert '"cluster": "registry"' not in json.dumps(resources["listeners"])


def test_all_of_mlflow_is_behind_a_key(routes):
    """One route leads there, after the refusals, and none goes without a key."""
    *refusals, last = routes["mlflow"]
    assert [one["direct_response"]["status"] for one in refusals] == [421, 403, 403, 403, 413]
    assert (last["match"], last["route"]["cluster"]) == ({"prefix": "/"}, "mlflow")
    assert "typed_per_filter_config" not in last


def test_stats_show_two_pages_of_the_admin(routes):
    """Nothing that shows keys or changes anything."""
    assert [path_of(route) for route in routes["stats"][1:]] == ["/ready", "/stats/prometheus"]
