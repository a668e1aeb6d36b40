"""The Envoys that tests share; each module's tests leave theirs as they found it."""

import pytest

from .programs import plan, running_envoy, running_facade, running_replica


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    """An Envoy with the fake facade behind its edge, and no replica behind its mesh."""
    folder = tmp_path_factory.mktemp("edge")
    with running_facade(folder), running_envoy(folder, plan(folder)) as envoy:
        yield envoy


@pytest.fixture(scope="module")
def mesh(tmp_path_factory):
    """An Envoy with one replica behind its mesh."""
    folder = tmp_path_factory.mktemp("mesh")
    topology = plan(folder)
    with running_replica(folder, "serving-0"), running_envoy(folder, topology) as envoy:
        yield envoy
