"""The state folder: where it is, and for whom."""

import os
from pathlib import Path

import pytest

from stack.errors import StackError
from stack.home import SOCKET_BYTES_MAX, Home


def test_parley_home_leads(monkeypatch, tmp_path):
    """PARLEY_HOME is stronger than the XDG folder."""
    monkeypatch.setenv("PARLEY_HOME", str(tmp_path / "mine"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    assert Home.find().path == tmp_path / "mine"


def test_xdg_state_home_comes_next(monkeypatch, tmp_path):
    """Without PARLEY_HOME, the XDG state folder holds ours."""
    monkeypatch.delenv("PARLEY_HOME", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert Home.find().path == tmp_path / "parley"


@pytest.mark.parametrize("value", ["", "relative/path"])
def test_an_xdg_folder_that_is_not_absolute_is_ignored(monkeypatch, tmp_path, value):
    """The XDG rules say so."""
    monkeypatch.delenv("PARLEY_HOME", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", value)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Home.find().path == tmp_path / ".local" / "state" / "parley"


def test_folders_are_for_their_owner_alone(home):
    """Every folder is 0700."""
    folders = [home.path, *(path for path in home.path.iterdir() if path.is_dir())]
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}


def test_an_open_state_folder_is_refused_with_the_mend(home):
    """A folder that others may enter guards no secrets."""
    home.path.chmod(0o755)
    with pytest.raises(StackError) as failure:
        home.prepare()
    assert f"chmod 700 {home.path}" in failure.value.mend


def test_an_empty_folder_that_the_user_made_is_closed(tmp_path):
    """`mkdir x` before the first start is no reason to refuse."""
    made = Home(tmp_path / "home")
    made.path.mkdir(mode=0o755)
    made.prepare()
    assert made.path.stat().st_mode & 0o777 == 0o700


def test_a_link_in_place_of_the_folder_is_refused(tmp_path, home):
    """A link could lead the secrets elsewhere."""
    link = tmp_path / "link"
    link.symlink_to(home.path)
    with pytest.raises(StackError, match="is a link"):
        Home(link).prepare()


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    """A file is not taken for a folder."""
    (tmp_path / "home").write_text("")
    with pytest.raises(StackError, match="is a file"):
        Home(tmp_path / "home").prepare()


def test_sockets_fit_their_limit_however_long_the_path(tmp_path, monkeypatch):
    """A deep state folder has its sockets in a short private one."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    deep = Home(tmp_path / ("d" * 120) / "home")
    assert deep.sockets.parent == tmp_path
    assert str(os.getuid()) in deep.sockets.name
    assert Home(tmp_path / ("e" * 120) / "home").sockets != deep.sockets


def test_sockets_of_a_short_path_stay_with_it():
    """The usual state folder holds its own sockets."""
    usual = Home(Path("/home/someone/.local/state/parley"))
    assert usual.sockets == usual.run
    assert len(str(usual.socket("serving-15"))) <= SOCKET_BYTES_MAX
