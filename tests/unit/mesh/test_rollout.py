"""The order of a change: what comes is there before routes lead to it, what goes behind them."""

from dataclasses import replace

import pytest

from services.mesh.rollout import Held, plan_rollout
from services.mesh.state import Aliased, MeshState, Share

from .states import GOOD, QWEN, A, B, snapshot

ONLY_B = replace(GOOD, members=(B,))


def holding(found):
    """What a proxy holds that has taken a snapshot."""
    return {kind: Held(found.versions[kind], found.resources[kind]) for kind in found.versions}


def told(before, after, **options):
    """Each step's kind, with the clusters that it holds."""
    held = holding(snapshot(before)) if before else {}
    steps = plan_rollout(held, snapshot(after), **options)
    return [(one.kind, sorted(one.held.resources)) for one in steps]


NEW, ALL = ["qwen@2", "serving"], ["qwen@1", "qwen@2", "serving"]


@pytest.mark.parametrize(
    ("before", "after", "steps"),
    [
        (None, GOOD, [("clusters", ALL), ("endpoints", ALL), ("routes", ["mesh"])]),
        (GOOD, GOOD, []),
        (GOOD, replace(GOOD, revision=9), []),
        (ONLY_B, GOOD, [("clusters", ALL), ("endpoints", ALL), ("routes", ["mesh"])]),
        (GOOD, ONLY_B, [("endpoints", NEW), ("routes", ["mesh"]), ("clusters", NEW)]),
        (
            GOOD,
            replace(GOOD, models=(replace(QWEN, aliases=(Aliased("x", "1"),)),)),
            [("routes", ["mesh"])],
        ),
        (GOOD, replace(GOOD, members=(A, replace(B, address="10.0.0.9:1"))), [("endpoints", ALL)]),
    ],
)
def test_only_what_changes_is_told_in_its_order(before, after, steps):
    """Clusters, endpoints, routes, and last what goes."""
    assert told(before, after) == steps


def test_a_version_that_takes_anothers_place_is_there_first():
    """The old cluster stays until the routes have left it."""
    after = MeshState((replace(B, ready=frozenset({("qwen", "3")})),), (QWEN,))
    assert told(ONLY_B, after) == [
        ("clusters", ["qwen@2", "qwen@3", "serving"]),
        ("endpoints", ["qwen@3", "serving"]),
        ("routes", ["mesh"]),
        ("clusters", ["qwen@3", "serving"]),
    ]


def test_what_the_next_step_needs_is_waited_for():
    """Routes need the clusters with their endpoints; what goes needs the routes gone."""
    held = holding(snapshot(ONLY_B))
    grows = plan_rollout(held, snapshot(GOOD))
    assert [one.settles for one in grows] == [False, True, False]
    shrinks = plan_rollout(holding(snapshot(GOOD)), snapshot(ONLY_B))
    assert [(one.settles, one.removes) for one in shrinks] == [
        (False, False),
        (True, False),
        (False, True),
    ]


def test_clusters_that_change_get_their_endpoints_again():
    """They wait for them, even where those are as before."""
    held = holding(snapshot(GOOD))
    held["clusters"] = Held("of an older program", held["clusters"].resources)
    steps = plan_rollout(held, snapshot(GOOD))
    assert [one.kind for one in steps] == ["clusters", "endpoints"]


def test_what_is_asked_for_is_told_in_any_case():
    """A proxy may wait for what it was told on a stream that broke."""
    assert told(GOOD, GOOD, asked={"endpoints"}) == [("endpoints", ALL)]


def test_a_change_on_top_of_one_that_is_under_way_removes_both_at_the_end():
    """A proxy that holds more than it should loses it, though nothing else changes."""
    first = plan_rollout(holding(snapshot(GOOD)), snapshot(ONLY_B))
    held = {
        **holding(snapshot(ONLY_B)),
        "clusters": holding(snapshot(GOOD))["clusters"],
    }
    second = plan_rollout(held, snapshot(ONLY_B))
    assert [(one.kind, one.removes) for one in second] == [("clusters", True)]
    assert first[-1].held.version == second[-1].held.version


def test_weights_move_without_touching_clusters():
    """A canary's next step is one message."""
    moved = replace(QWEN, shares=(Share("1", 50), Share("2", 50)))
    assert told(GOOD, replace(GOOD, models=(moved,))) == [("routes", ["mesh"])]
