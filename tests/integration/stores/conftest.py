"""Homes whose stores are gone when the test is."""

import pytest

from stack import leftovers, up
from stack.home import Home

from .stacks import ALL, start


@pytest.fixture
def home(tmp_path):
    """A state folder of this test's own; nothing runs for it afterwards."""
    made = Home(tmp_path / "home")
    made.prepare()
    yield made
    up.stop(made)
    leftovers.end(made, at_once=True)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """All three stores, running; the tests leave them as they found them."""
    made = Home(tmp_path_factory.mktemp("stores") / "home")
    yield start(made, ALL)
    up.stop(made)
    leftovers.end(made, at_once=True)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """PostgreSQL and the object store, running; the tests leave them as they found them."""
    made = Home(tmp_path_factory.mktemp("quick") / "home")
    yield start(made)
    up.stop(made)
    leftovers.end(made, at_once=True)
