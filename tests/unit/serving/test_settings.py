"""What a serving replica can be told."""

import pytest
from pydantic import ValidationError

from services.serving.memory import ENGINE_BASE_BYTES, GIB, estimate, machine_bytes
from services.serving.settings import Settings


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({}, "PARLEY_SERVING_MODEL_DIR or PARLEY_SERVING_REGISTRY_ADDRESS"),
        ({"model_dir": "/m", "registry_address": "unix:/r", "cache_dir": "/c"}, " or "),
        ({"registry_address": "unix:/r"}, "PARLEY_SERVING_CACHE_DIR"),
    ],
)
def test_a_replica_serves_a_folder_or_follows_a_registry(told, words):
    """Not both, not neither, and a registry only with a place for the files."""
    with pytest.raises(ValidationError, match=words):
        Settings(address="unix:unused", **told)


def test_the_estimate_counts_the_files_and_the_cache(tmp_path):
    """With a base that every engine takes."""
    (tmp_path / "openvino_model.bin").write_bytes(b"x" * 1000)
    assert estimate(tmp_path, 2) == ENGINE_BASE_BYTES + 2000 + 2 * GIB
    assert machine_bytes() > GIB // 4
