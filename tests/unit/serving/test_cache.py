"""Files of versions on disk."""

import hashlib
import os
from pathlib import Path

import pytest

from services.serving.cache import FileCache
from services.serving.manifest import File, check_listing, engine_manifest
from services.serving.source import SourceError
from services.serving.wanted import Key, Version
from tests.fakes.source import state, table

ROOM = 100_000
CONTENT = {"config.json": b"{}", "openvino/openvino_model.bin": b"weights" * 100}


def listing(content: dict[str, bytes]) -> list[File]:
    """The list of some files."""
    return [
        File(path, len(data), hashlib.sha256(data).hexdigest()) for path, data in content.items()
    ]


def version_of(content: dict[str, bytes], number: int = 1) -> Version:
    """A version with these files."""
    return Version(Key("tiny", str(number), f"{number:064x}"), engine_manifest(listing(content)))


def put(cache: FileCache, version: Version, content: dict[str, bytes], used=()) -> Path:
    """Brings files as a fetch does."""
    size = sum(map(len, content.values()))
    part = cache.begin(version, size, used)
    for path, data in content.items():
        (part / path).parent.mkdir(parents=True, exist_ok=True)
        (part / path).write_bytes(data)
    return cache.finish(version, listing(content))


@pytest.fixture
def open_cache(tmp_path):
    """Opens the cache as a process does at its start; the one before has ended by then."""
    opened = []

    def open_again(room=ROOM):
        for one in opened:
            one._lock.close()
        opened.append(FileCache(tmp_path / "cache", room))
        return opened[-1]

    yield open_again
    for one in opened:
        one._lock.close()


def test_what_was_brought_is_found_after_a_restart(open_cache):
    """With nobody else there."""
    version = version_of(CONTENT)
    folder = put(open_cache(), version, CONTENT)
    found = open_cache().find(version)
    assert found == folder
    assert {path: (found / path).read_bytes() for path in CONTENT} == CONTENT


@pytest.mark.parametrize("path", CONTENT)
def test_what_differs_is_never_made_a_version(open_cache, path):
    """One wrong byte is enough; it is dropped, and what is right is kept for the next try."""
    cache, version = open_cache(), version_of(CONTENT)
    part = cache.begin(version, 1000, [])
    for name, data in CONTENT.items():
        (part / name).parent.mkdir(exist_ok=True)
        (part / name).write_bytes(data[:-1] + b"?" if name == path else data)
    with pytest.raises(SourceError, match=path):
        cache.finish(version, listing(CONTENT))
    assert cache.find(version) is None
    assert [name for name in CONTENT if not (part / name).exists()] == [path]


def _flip(folder):
    (folder / "openvino/openvino_model.bin").write_bytes(b"WEIGHTS" * 100)


def _cut(folder):
    os.truncate(folder / "config.json", 1)


def _lose(folder):
    (folder / "config.json").unlink()


def _relist(folder):
    (folder.parent / "files.json").write_text("[]")


def _link(folder):
    path = folder / "config.json"
    path.rename(folder / "other.json")
    path.symlink_to(folder / "other.json")


@pytest.mark.parametrize("harm", [_flip, _cut, _lose, _relist, _link])
def test_what_was_harmed_on_disk_is_found_at_the_next_start(open_cache, harm):
    """It is fetched anew instead of served."""
    version = version_of(CONTENT)
    harm(put(open_cache(), version, CONTENT))
    cache = open_cache()
    assert cache.find(version) is None
    assert put(cache, version, CONTENT) == cache.find(version)


def test_the_longest_unused_make_room(open_cache):
    """Never those in use."""
    sized = {"config.json": b"{}", "openvino/openvino_model.bin": b"x" * 4000}
    cache = open_cache(room=15_000)
    one, two, three, four = (version_of(sized, number) for number in (1, 2, 3, 4))
    for age, version in ((30, two), (20, one), (10, three)):
        entry = put(cache, version, sized).parent / "files.json"
        os.utime(entry, (1e9 - age, 1e9 - age))
    put(cache, four, sized, used=[two])
    assert [cache.find(version) is not None for version in (one, two, three, four)] == [
        False,
        True,
        True,
        True,
    ]


def test_what_does_not_fit_beside_those_in_use_is_refused_with_the_figures(open_cache):
    """Nothing in use is touched."""
    cache, version = open_cache(), version_of(CONTENT)
    put(cache, version, CONTENT)
    with pytest.raises(SourceError, match="take 1 MB"):
        cache.begin(version_of(CONTENT, 2), 1_000_000, [version])
    assert cache.find(version) is not None


def test_a_cache_belongs_to_one_replica(open_cache, tmp_path):
    """Two would remove each other's files."""
    open_cache()
    with pytest.raises(ValueError, match="another replica uses"):
        FileCache(tmp_path / "cache", ROOM)


def test_the_last_state_is_kept(open_cache):
    """Whole, also after a crash in mid-write; what cannot be read is none."""
    cache = open_cache()
    assert cache.read_state() is None
    wanted = state(table({1: 100}, revision=7))
    cache.keep_state(wanted)
    assert open_cache().read_state() == wanted


def test_a_state_that_cannot_be_read_is_none(open_cache, tmp_path):
    """The registry is asked then."""
    cache = open_cache()
    (tmp_path / "cache" / "state.json").write_text('{"revision": 7')
    assert cache.read_state() is None


@pytest.mark.parametrize(
    "path", ["../x", "/etc/x", "a/../x", "./x", "a//x", "a\\x", "", "x\n", "a/", "x" * 600]
)
def test_a_path_that_leaves_its_folder_is_refused(path):
    """Whatever the registry says."""
    files = [File(path, 1, "0" * 64)]
    with pytest.raises(SourceError):
        check_listing(files, engine_manifest(files))


def test_a_list_that_its_digest_does_not_name_is_refused():
    """No file of it is fetched."""
    with pytest.raises(SourceError, match="digest"):
        check_listing(listing(CONTENT), "0" * 64)


@pytest.mark.parametrize("digest", ["", "../../x", "0" * 63, "G" * 64])
def test_a_digest_that_is_none_makes_no_path(open_cache, digest):
    """It would name a folder."""
    with pytest.raises(SourceError):
        open_cache().begin(Version(Key("tiny", "1", digest), "0" * 64), 1, [])
