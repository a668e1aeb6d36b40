"""A topology that cannot work is refused before anything is built."""

import pytest

from services.mesh.topology import Topology


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"admin_address": "127.0.0.1:8082"}, "admin_address"),
        ({"edge_clients": {"user": ""}}, "needs a key"),
        ({"mesh_clients": {}}, "needs a key"),
        ({"page_key": ""}, "needs a key"),
        ({"page_key": "canary-user"}, "share a key"),
        ({"mesh_clients": {"user": "same", "gateway": "same"}}, "share a key"),
        ({"replicas": ()}, "replicas"),
        ({"mlflow_port": 0}, "mlflow_port"),
    ],
)
def test_bad_topology_is_refused_by_name(good, bad, words):
    """The error names the field, and never the key."""
    with pytest.raises(ValueError, match=words) as refused:
        Topology(**{**good, **bad})
    assert "canary" not in str(refused.value)


def test_replicas_of_one_name_are_refused(good):
    """Logs would not tell them apart."""
    with pytest.raises(ValueError, match="replicas"):
        Topology(**{**good, "replicas": good["replicas"][:1] * 2})


def test_printing_a_topology_shows_no_key(good):
    """A traceback or a debug line must not hold one."""
    assert "canary" not in repr(Topology(**good))
