"""A snapshot on disk is whole at every moment, and only what changes is written."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from services.mesh import disk
from services.mesh.disk import Files
from services.mesh.state import Aliased

from .states import GOOD, QWEN, A, B, snapshot


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the good snapshot, and no waits for an Envoy that is not there."""
    monkeypatch.setattr(disk, "WARM_S", 0)
    Files(tmp_path / "mesh").write(snapshot())
    return tmp_path / "mesh"


def names(folder, file="cds.json"):
    """What a file of resources holds, by name."""
    return [one["name"] for one in json.loads((folder / file).read_text())["resources"]]


def sources(folder):
    """Where each cluster's endpoints are."""
    clusters = json.loads((folder / "cds.json").read_text())["resources"]
    config = {one["name"]: one["eds_cluster_config"]["eds_config"] for one in clusters}
    return {name: one["path_config_source"]["path"] for name, one in config.items()}


def test_each_cluster_names_a_file_that_holds_its_endpoints(folder):
    """In this folder, whatever the cluster's name holds."""
    found = sources(folder)
    assert sorted(found) == ["qwen@1", "qwen@2", "serving"]
    for name, path in found.items():
        (assignment,) = json.loads(Path(path).read_bytes())["resources"]
        assert assignment["cluster_name"] == name
    assert len(list(folder.iterdir())) == 2 + len(found)


def test_files_are_their_owners(folder):
    """Nobody else reads where replicas are, or says it."""
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_what_stays_is_not_written_again(folder):
    """Envoy reads a file each time that one is moved into its place."""
    before = {path.name: path.stat().st_ino for path in folder.iterdir()}
    aliased = replace(QWEN, aliases=(Aliased("x", "1"),))
    Files(folder).write(snapshot(replace(GOOD, models=(aliased,))))
    after = {path.name: path.stat().st_ino for path in folder.iterdir()}
    assert {name for name in after if after[name] != before.get(name)} == {"rds.json"}


def test_what_goes_is_gone_at_the_end(folder):
    """Its cluster and its endpoints."""
    Files(folder).write(snapshot(replace(GOOD, members=(B,))))
    assert names(folder) == ["qwen@2", "serving"]
    assert len(list(folder.glob("eds-*"))) == 2


@pytest.mark.parametrize("stop", range(1, 7))
def test_a_writer_that_is_killed_leaves_nothing_that_leads_nowhere(folder, monkeypatch, stop):
    """Whichever file was its last, all that is named is there."""
    moved = []

    class Killed(Exception):
        pass

    def put(self, name, content, *, real=Files._put):
        if len(moved) == stop:
            raise Killed
        changed = real(self, name, content)
        if changed:
            moved.append(name)
        return changed

    monkeypatch.setattr(Files, "_put", put)
    other = replace(A, ready=frozenset({("qwen", "3")}))
    try:
        Files(folder).write(snapshot(replace(GOOD, members=(other, B))))
    except Killed:
        assert len(moved) == stop
    assert all(json.loads(Path(path).read_bytes()) for path in sources(folder).values())
    (routes,) = json.loads((folder / "rds.json").read_text())["resources"]
    led = json.dumps(routes)
    known = names(folder)
    assert [f"qwen@{one}" for one in (1, 2, 3) if f'"cluster": "qwen@{one}"' in led] <= known


def test_a_file_that_nobody_can_read_is_written_anew(folder):
    """It says nothing of what was there before."""
    (folder / "cds.json").write_text("{")
    Files(folder).write(snapshot())
    assert names(folder) == ["qwen@1", "qwen@2", "serving"]
