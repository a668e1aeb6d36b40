"""A home whose stack, if any, is gone when the test is."""

import pytest

from stack import leftovers, up
from stack.home import Home


@pytest.fixture
def home(tmp_path):
    """A state folder of this test's own; nothing runs for it afterwards."""
    made = Home(tmp_path / "home")
    yield made
    up.stop(made)
    leftovers.end(made, at_once=True)


@pytest.fixture
def nothing_left(home):
    """Asserts that no process and nothing in the run folder is left."""

    def check() -> None:
        assert leftovers.find(home) == []
        assert list(home.run.iterdir()) == []

    return check
