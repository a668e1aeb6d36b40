"""Keys of their own for people and programs."""

import json

import pytest
from typer.testing import CliRunner

from stack import edge, keys
from stack.cli import app
from stack.errors import StackError


def test_client_has_a_key_of_its_own_that_is_private(home):
    """It differs from the common one."""
    keys.ensure(home)
    path = keys.add_client(home, "ann")
    assert path.stat().st_mode & 0o777 == 0o600
    assert keys.read(path) != keys.read(home.api_key)
    assert keys.clients(home) == {"ann": path}
    assert keys.client(home, "ann") == path


@pytest.mark.parametrize(
    "name", ["api", "gateway", "page", "parley", "Ann", "a/b", "../x", "", "-a"]
)
def test_name_that_means_something_else_is_refused(home, name):
    """Neither Parley's own names nor what is no name."""
    with pytest.raises(StackError, match="cannot be a client's name"):
        keys.add_client(home, name)


def test_second_key_of_a_name_is_refused(home):
    """A key in use is not replaced in passing."""
    keys.add_client(home, "ann")
    with pytest.raises(StackError, match="already"):
        keys.add_client(home, "ann")


def test_unknown_client_names_those_there_are(home):
    """And how to make one."""
    keys.add_client(home, "ann")
    with pytest.raises(StackError, match="There are: ann") as caught:
        keys.client(home, "bob")
    assert caught.value.mend == "Make it with: ./parley keys add bob"


def test_envoy_knows_each_client_by_its_name(planned):
    """At the edge and at the mesh."""
    keys.ensure(planned.home)
    path = keys.add_client(planned.home, "ann")
    edge.write_config(planned)
    written = planned.home.envoy_config.read_text()
    assert written.count(keys.read(path)) == 2
    assert json.loads(written)


def test_commands_say_where_a_key_is_and_never_the_key(home, monkeypatch):
    """Nor does the list; what has changed counts from the next start on."""
    monkeypatch.setenv("PARLEY_HOME", str(home.path))
    run = CliRunner().invoke(app, ["keys", "add", "ann"])
    path = home.clients / "ann"
    assert run.stdout.strip() == str(path)
    assert "./parley up" in run.stderr
    listed = CliRunner().invoke(app, ["keys", "list"]).stdout
    assert str(path) in listed
    assert keys.read(path) not in run.output + listed
    assert CliRunner().invoke(app, ["keys", "remove", "ann"]).exit_code == 0
    assert not path.exists()
