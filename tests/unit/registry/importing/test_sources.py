"""Claims about local folders and prefixes of the object store."""

import errno
import os
from pathlib import Path

import pytest

from services.registry.importing.folder import Limits
from services.registry.importing.sources import LocalSource, ObjectSource
from services.rpc.errors import InvalidArgument, ParleyError, PermissionDenied
from tests.fakes.bucket import Bucket
from tests.unit.registry.importing.folders import make_folder

LIMITS = Limits()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "model")


@pytest.fixture
def into(tmp_path: Path) -> Path:
    path = tmp_path / "into"
    path.mkdir()
    (path / "left.json").write_text("{}")
    return path


def bytes_of(folder: Path) -> dict[str, bytes]:
    """What a folder holds."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


async def test_a_copy_is_the_folder_and_ours_alone(folder: Path, into: Path):
    """The same bytes, none left from before, and nothing that happens later is seen."""
    before = bytes_of(folder)
    await LocalSource([folder.parent], LIMITS).fetch(str(folder), into, lambda _: None)
    for name in before:
        (folder / name).write_bytes(b"changed")
    assert bytes_of(into) == before


async def test_copying_tells_how_far_it_is(folder: Path, into: Path):
    """The share grows to the whole."""
    told: list[float] = []
    await LocalSource([folder.parent], LIMITS).fetch(str(folder), into, told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0


@pytest.mark.parametrize("source", ["model", "~/model", "/a\0b", "/no/such/folder", "/etc/passwd"])
def test_what_is_no_folder_is_refused_at_once(source: str):
    """The caller hears of it before there is an import."""
    with pytest.raises(InvalidArgument):
        LocalSource([Path("/")], LIMITS).check(source)


def test_only_the_roots_may_be_read(folder: Path, tmp_path: Path):
    """Neither dots nor links nor a name that begins alike lead out of a root."""
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "root-2").mkdir()
    (root / "link").symlink_to(folder)
    source = LocalSource([root], LIMITS)
    source.check(str(root))
    for outside in (folder, f"{root}/../model", root / "link", tmp_path / "root-2"):
        with pytest.raises(PermissionDenied):
            source.check(str(outside))


def test_a_link_to_a_folder_within_the_roots_is_as_good_as_the_folder(folder: Path):
    """What counts is where it leads."""
    link = folder.parent / "latest"
    link.symlink_to(folder)
    LocalSource([folder.parent], LIMITS).check(str(link))


async def test_a_full_disk_is_told_as_one(folder: Path, into: Path, monkeypatch):
    """The system's error reaches the importer, which knows its name."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "sendfile", full)
    with pytest.raises(OSError, match="No space left"):
        await LocalSource([folder.parent], LIMITS).fetch(str(folder), into, lambda _: None)


async def test_a_prefix_gives_its_files(folder: Path, into: Path):
    """What lies below openvino/ or is hidden is left where it is."""
    bucket = Bucket()
    bucket.fill("starters/one/", folder)
    bucket.held["starters/one/openvino/openvino_model.xml"] = b"<xml/>"
    bucket.held["starters/one/.git/config"] = b""
    bucket.held["starters/one-more/config.json"] = b"other"
    await ObjectSource(bucket, "parley", LIMITS).fetch(
        "s3://parley/starters/one/", into, lambda _: None
    )
    assert bytes_of(into) == bytes_of(folder)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("../x.json", "NAME_ESCAPES"),
        ("/x.json", "NAME_ESCAPES"),
        ("..", "NAME_ESCAPES"),
        ("a\\b.json", "NAME_ESCAPES"),
        ("onnx/x.json", "SUBFOLDER"),
        ("x.bin", "PICKLE_FILE"),
        ("x.py", "CODE_FILE"),
        ("CONFIG.json", "NAME_COLLIDES"),
    ],
)
async def test_a_key_is_held_to_the_rules_of_names(folder: Path, into: Path, key: str, reason: str):
    """An object's key can be anything; nothing is fetched before all keys are checked."""
    bucket = Bucket()
    bucket.fill("one/", folder)
    bucket.held[f"one/{key}"] = b"{}"
    with pytest.raises(ParleyError) as refusal:
        await ObjectSource(bucket, "parley", LIMITS).fetch("s3://parley/one", into, lambda _: None)
    assert refusal.value.reason == reason
    assert bytes_of(into) == {}


@pytest.mark.parametrize(
    "source",
    ["s3://other/one", "s3://parley", "s3://parley/", "s3://parley/../x", "s3://parley/a//b"],
)
def test_only_folders_of_our_own_bucket_may_be_named(source: str):
    """The registry's keys open no other bucket to a caller."""
    with pytest.raises(InvalidArgument):
        ObjectSource(Bucket(), "parley", LIMITS).check(source)
