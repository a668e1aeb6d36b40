"""A state folder and a plan to test with. Nothing is started."""

import pytest

from stack import plan
from stack.home import Home
from stack.plan import Plan
from stack.ports import Ports


@pytest.fixture
def home(tmp_path):
    """A prepared state folder."""
    made = Home(tmp_path / "home")
    made.prepare()
    return made


@pytest.fixture
def planned(home, tmp_path) -> Plan:
    """A plan of two replicas."""
    return plan.build(
        home,
        ports=Ports(18080, 18081, 18082, 18083, (18084, 18085)),
        replicas=2,
        model_dir=tmp_path / "model",
        chat_dir=tmp_path / "dist",
        envoy=["/bin/envoy", "--config-path", "envoy.json"],
    )
