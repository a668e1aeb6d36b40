"""What proxies are told of a mesh: whole, in order, and the same for the same state."""

import subprocess
import sys
from dataclasses import replace

import pytest

from services.mesh.snapshot import check_consistent, effective, routed_clusters, snapshot_of
from services.mesh.state import Aliased, Member, MeshState, ModelTraffic, Share
from stack.environment.places import ROOT

from .states import GOOD, LOADING, QWEN, A, B, snapshot


def shares(**weights):
    return tuple(Share(version.lstrip("v"), weight) for version, weight in weights.items())


@pytest.mark.parametrize(
    ("given", "ready", "taken"),
    [
        ({"v1": 90, "v2": 10}, {"1", "2"}, {"v1": 90, "v2": 10}),
        ({"v1": 90, "v2": 10}, {"1"}, {"v1": 100}),
        ({"v1": 90, "v2": 10}, {"2", "3"}, {"v2": 100}),
        ({"v1": 90, "v2": 10}, set(), {}),
        ({"v1": 100, "v2": 0}, {"2"}, {}),
        ({"v1": 60, "v2": 30, "v3": 10}, {"1", "2"}, {"v1": 67, "v2": 33}),
        ({"v1": 34, "v2": 33, "v3": 33, "v4": 0}, {"1", "2", "3"}, {"v1": 34, "v2": 33, "v3": 33}),
        ({"v1": 1, "v2": 1, "v3": 1}, {"1", "2", "3"}, {"v1": 34, "v2": 33, "v3": 33}),
        ({"v10": 50, "v9": 50}, {"9", "10"}, {"v9": 50, "v10": 50}),
        ({"vb": 50, "v9": 50}, {"9", "b"}, {"v9": 50, "vb": 50}),
        ({"v1": 30, "v2": 40}, {"1", "2"}, {"v1": 43, "v2": 57}),
    ],
)
def test_a_version_takes_its_share_once_it_is_ready(given, ready, taken):
    """What is not ready gives its share to the others in proportion, in rising order."""
    assert effective(shares(**given), ready) == shares(**taken)
    assert sum(taken.values()) in (0, 100)


def kinds(found):
    return {kind: sorted(names) for kind, names in found.resources.items()}


def model_routes(found):
    """What is asked for, and where it leads: to a cluster, or to several by weight."""
    told = {}
    for route in found.resources["routes"]["mesh"].virtual_hosts[0].routes:
        if route.match.headers:
            weighted = route.route.weighted_clusters
            to = [(one.name, one.weight) for one in weighted.clusters] if weighted else None
            told[route.match.headers[0].string_match.exact] = to or route.route.cluster
    return told


def members_of(found, cluster):
    groups = found.resources["endpoints"][cluster].endpoints
    return [one.endpoint.hostname for group in groups for one in group.lb_endpoints]


def test_each_ready_version_is_a_cluster_with_its_replicas():
    """And all that serve are one more, for requests that name no model."""
    found = snapshot()
    names = ["qwen@1", "qwen@2", "serving"]
    assert kinds(found) == {"clusters": names, "endpoints": names, "routes": ["mesh"]}
    assert members_of(found, "qwen@1") == ["serving-0"]
    assert members_of(found, "qwen@2") == members_of(found, "serving") == ["serving-0", "serving-1"]


def test_requests_are_routed_by_what_they_ask_for():
    """A model by its weights; a version or an alias to its replicas; what nobody has is left to
    the replicas."""
    assert model_routes(snapshot()) == {
        "qwen": [("qwen@1", 90), ("qwen@2", 10)],
        "qwen@1": "qwen@1",
        "qwen@2": "qwen@2",
        "qwen@champion": "qwen@1",
        "qwen@next": "qwen@2",
    }


def test_each_route_to_a_version_tells_the_replica_which():
    """Whatever the caller said of it."""
    for route in snapshot().resources["routes"]["mesh"].virtual_hosts[0].routes:
        weighted = route.route.weighted_clusters
        for one in weighted.clusters if weighted else [route] if route.match.headers else []:
            (option,) = one.request_headers_to_add
            name = one.name if weighted else route.route.cluster
            assert option.header.key == "x-parley-version"
            assert option.header.value == name.rpartition("@")[2]
            assert option.append_action.name == "OVERWRITE_IF_EXISTS_OR_ADD"


def test_a_version_that_nobody_has_ready_takes_no_weight():
    """Its share waits with the others."""
    only_two = MeshState((B,), (QWEN,))
    told = model_routes(snapshot(only_two))
    assert told == {
        "qwen": [("qwen@2", 100)],
        "qwen@2": "qwen@2",
        "qwen@next": "qwen@2",
    }


def test_a_mesh_of_nobody_has_routes_that_lead_to_nobody():
    """Callers hear that nothing serves, not that there is no such service."""
    found = snapshot(MeshState((LOADING,), (QWEN,)))
    assert members_of(found, "serving") == []
    assert model_routes(found) == {}
    check_consistent(found)


def test_a_model_of_which_nothing_is_said_is_asked_for_by_version_alone():
    """Its replicas choose for the rest."""
    told = model_routes(snapshot(replace(GOOD, models=())))
    assert told == {"qwen@1": "qwen@1", "qwen@2": "qwen@2"}


@pytest.mark.parametrize(
    ("model", "version"),
    [("a\nb", "1"), ("a", "1\r2"), ("ä", "1"), ("a", ""), ("a b", "1"), ("a", "1@2")],
)
def test_a_name_that_no_header_can_hold_spoils_nothing(model, version):
    """One odd name would have Envoy refuse the routes of all."""
    odd = replace(B, ready=frozenset({(model, version), ("qwen", "2")}))
    found = snapshot(replace(GOOD, members=(A, odd)))
    assert kinds(found) == kinds(snapshot())
    assert members_of(found, "serving") == ["serving-0", "serving-1"]


def test_a_percent_sign_begins_no_command():
    """Envoy's headers have commands in percent signs."""
    odd = replace(B, ready=frozenset({("q", "50%")}))
    found = snapshot(MeshState((odd,), ()))
    (route,) = [
        one
        for one in found.resources["routes"]["mesh"].virtual_hosts[0].routes
        if one.match.headers
    ]
    assert route.request_headers_to_add[0].header.value == "50%%"


def test_the_same_name_twice_leads_where_the_first_one_leads():
    """An alias that is named as a version is that version."""
    twice = replace(QWEN, aliases=(Aliased("2", "1"), Aliased("1", "2")))
    told = model_routes(snapshot(replace(GOOD, models=(twice,))))
    assert (told["qwen@1"], told["qwen@2"]) == ("qwen@1", "qwen@2")


def test_stores_and_the_mesh_itself_are_routed_to_where_they_are():
    """And nothing leads there where they are not."""
    fixed = {"registry", "jobs", "mesh-control"}
    routes = snapshot().resources["routes"]["mesh"]
    assert routed_clusters(routes) & fixed == fixed
    bare = snapshot(registry=False, jobs=False, control=False).resources["routes"]["mesh"]
    assert not routed_clusters(bare) & fixed


def test_order_says_nothing():
    """The same state gives the same snapshot, in whatever order it is told."""
    other = ModelTraffic("other", (Share("1", 100),), (), ("1",))
    one = replace(GOOD, models=(QWEN, other))
    turned = replace(QWEN, shares=QWEN.shares[::-1], aliases=QWEN.aliases[::-1])
    two = MeshState(GOOD.members[::-1], (other, turned), 8)
    assert snapshot(one).version == snapshot(two).version


def test_a_process_that_begins_anew_makes_the_same_snapshot():
    """Its versions are those that proxies have, so that nothing is told again."""
    code = "from tests.unit.mesh.states import snapshot; print(snapshot().version)"
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert told == {snapshot().version}


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        ({"models": (replace(QWEN, shares=(Share("1", 50), Share("2", 50))),)}, {"routes"}),
        ({"members": (A, replace(B, address="10.0.0.3:50051"))}, {"endpoints"}),
        ({"members": (A, B, replace(LOADING, serving=True))}, {"endpoints"}),
        ({"members": (B,)}, {"clusters", "endpoints", "routes"}),
        ({"revision": 8}, set()),
    ],
)
def test_only_what_changes_has_another_version(change, changed):
    """So that only that is sent."""
    before, after = snapshot(), snapshot(replace(GOOD, **change))
    differ = {kind for kind in before.versions if before.versions[kind] != after.versions[kind]}
    assert differ == changed
    assert (before.version == after.version) == (not changed)


def test_a_good_snapshot_is_consistent():
    """The one that the bad ones below differ from."""
    check_consistent(snapshot())


def without(kind, name):
    found = snapshot().resources
    return snapshot_of({**found, kind: {k: v for k, v in found[kind].items() if k != name}})


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("endpoints", "qwen@1", "clusters without endpoints: qwen@1"),
        ("clusters", "qwen@1", "endpoints without a cluster: qwen@1"),
        ("routes", "mesh", "no routes"),
    ],
)
def test_what_is_missing_is_named(kind, name, words):
    """A snapshot that lacks one thing is not told to anybody."""
    with pytest.raises(ValueError, match=words):
        check_consistent(without(kind, name))


def test_a_route_to_nowhere_is_named():
    """Envoy itself would take it, and answer 503."""
    found = snapshot().resources
    bare = snapshot(MeshState((B,), ())).resources
    broken = snapshot_of({**bare, "routes": found["routes"]})
    with pytest.raises(ValueError, match="not there: qwen@1"):
        check_consistent(broken)


def test_a_resource_under_another_name_is_named():
    """Two of one name would be refused by Envoy."""
    found = snapshot().resources
    clusters = {**found["clusters"], "qwen@1": found["clusters"]["qwen@2"]}
    with pytest.raises(ValueError, match="qwen@1 holds qwen@2"):
        check_consistent(snapshot_of({**found, "clusters": clusters}))


def test_an_address_that_no_proxy_reaches_is_refused():
    """Envoy resolves no names here."""
    lost = Member("x", "some.host:1", frozenset(), True)
    with pytest.raises(ValueError, match=r"some\.host"):
        snapshot(MeshState((lost,), ()))
