"""Claims about manifests."""

import hashlib
from pathlib import Path

from services.registry.importing.manifest import hash_folder, read_manifest, write_manifest
from services.serving.model import _digest
from tests.unit.registry.importing.folders import make_folder


def test_serving_and_the_registry_name_a_folder_alike(tmp_path: Path):
    """An answer's fingerprint is the registry's digest."""
    folder = make_folder(tmp_path / "model")
    assert hash_folder(folder).digest == _digest(folder)


def test_the_digest_is_that_of_the_lines(tmp_path: Path):
    """Anyone can compute it with sha256sum."""
    folder = make_folder(tmp_path / "model")
    names = sorted(path.name for path in folder.iterdir() if path.name != "README.md")
    lines = [
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names
    ]
    assert hash_folder(folder).digest == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_words_about_a_model_do_not_make_it_another(tmp_path: Path):
    """README.md is listed with its own hash, and is not in the digest."""
    folder = make_folder(tmp_path / "model")
    before = hash_folder(folder)
    (folder / "README.md").write_text("# More words\n")
    after = hash_folder(folder)
    assert (after.digest, after == before) == (before.digest, False)


def test_every_bit_counts(tmp_path: Path):
    """One bit of the weights gives another digest."""
    folder = make_folder(tmp_path / "model")
    before = hash_folder(folder).digest
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert hash_folder(folder).digest != before


def test_progress_ends_at_the_whole(tmp_path: Path):
    """A bar can be drawn from it."""
    told: list[float] = []
    hash_folder(make_folder(tmp_path / "model"), told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_a_manifest_is_read_back_or_not_at_all(tmp_path: Path):
    """Half a file, and one that is missing, are as good as none."""
    manifest = hash_folder(make_folder(tmp_path / "model"))
    path = tmp_path / "source.json"
    assert read_manifest(path) is None
    write_manifest(manifest, path)
    assert read_manifest(path) == manifest
    path.write_bytes(path.read_bytes()[:-5])
    assert read_manifest(path) is None
