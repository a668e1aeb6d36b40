"""What proxies are to know, of what replicas and the registry say."""

from services.mesh.composing import Told, compose
from services.mesh.state import Member, MeshState, ModelTraffic, Share


def _member(name: str, *ready: tuple[str, str]) -> Member:
    return Member(name, f"unix:/run/{name}.sock", frozenset(ready), serving=bool(ready))


def test_the_registry_has_the_say_where_there_is_one():
    """What replicas have ready adds nothing to the traffic."""
    models = (ModelTraffic("a", (Share("1", 100),), (), ("1",)),)
    members = (_member("r0", ("b", "7")),)
    assert compose(members, Told(5, models)) == MeshState(members, models, 5)


def test_a_registry_without_models_leaves_none():
    """An empty answer is an answer."""
    assert compose((_member("r0", ("b", "7")),), Told()).models == ()


def test_without_a_registry_what_is_ready_takes_all():
    """One folder, one version."""
    state = compose((_member("r0", ("a", "x")), _member("r1", ("a", "x")), _member("r2")), None)
    assert state.models == (ModelTraffic("a", (Share("x", 100),), (), ("x",)),)


def test_without_a_registry_versions_share_by_their_replicas():
    """As if each replica were called as often as the others; the shares sum to 100."""
    members = [_member("r0", ("a", "x")), _member("r1", ("a", "y")), _member("r2", ("a", "y"))]
    (model,) = compose(members, None).models
    assert model.shares == (Share("x", 34), Share("y", 66))
