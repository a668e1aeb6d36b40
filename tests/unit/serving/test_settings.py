"""What a serving replica can be told."""

import pytest
from pydantic import ValidationError

from services.serving.cores import machine_cores
from services.serving.memory import ENGINE_BASE_BYTES, GIB, estimate, machine_bytes
from services.serving.settings import Settings


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({}, "exactly one of PARLEY_SERVING_MODEL_DIR"),
        ({"model_dir": "/m", "registry_address": "unix:/r", "cache_dir": "/c"}, "exactly one of"),
        ({"registry_address": "unix:/r"}, "PARLEY_SERVING_CACHE_DIR"),
        ({"model_dir": "/m", "remote_url": "http://h"}, "exactly one of"),
        ({"remote_url": "http://user:key@h"}, "remote_url"),
        ({"remote_url": "file:///x"}, "remote_url"),
        ({"remote_url": "http://h", "remote_digest": "x"}, "remote_digest"),
    ],
)
def test_a_replica_has_one_source(told, words):
    """A folder, a registry with a place for the files, or a server whose address holds no key."""
    with pytest.raises(ValidationError, match=words):
        Settings(address="unix:unused", **told)


@pytest.mark.parametrize(
    ("told", "threads", "messages_per_s"),
    [
        ({}, 0, 100 * machine_cores()),
        ({"cores": 4}, 4, 400),
        ({"cores": 0.67}, 1, 67),
        ({"cores": 4, "threads": 3, "messages_per_s_max": 50}, 3, 50),
    ],
)
def test_threads_and_messages_are_those_of_its_cores(told, threads, messages_per_s):
    """Unless they are told: so replicas that share a machine do not each take all of it."""
    settings = Settings(address="unix:unused", model_dir="/m", **told)
    assert settings.engine_threads == threads
    assert settings.message_rate_max == pytest.approx(messages_per_s)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"address": "unix:/s"}, "PARLEY_SERVING_NAME"),
        ({"address": "127.0.0.1:1", "name": "r"}, "PARLEY_SERVING_ADVERTISE"),
        ({"address": "unix:/s", "name": "not a name"}, "name"),
    ],
)
def test_a_replica_that_joins_says_who_and_where_it_is(told, words):
    """Neither is guessed: what is guessed wrongly gets no requests."""
    with pytest.raises(ValidationError, match=words):
        Settings(model_dir="/m", mesh_address="unix:/mesh", **told)


def test_a_replica_is_reached_where_it_listens_or_where_it_is_told():
    """A unix socket is the same for everybody on this machine."""
    told = {"model_dir": "/m", "mesh_address": "unix:/mesh", "name": "r"}
    assert Settings(address="unix:/s", **told).reached_at == "unix:/s"
    far = Settings(address="0.0.0.0:7000", advertise="192.0.2.7:7000", **told)
    assert far.reached_at == "192.0.2.7:7000"


def test_the_estimate_counts_the_files_and_the_cache(tmp_path):
    """With a base that every engine takes."""
    (tmp_path / "openvino_model.bin").write_bytes(b"x" * 1000)
    assert estimate(tmp_path, 2) == ENGINE_BASE_BYTES + 2000 + 2 * GIB
    assert machine_bytes() > GIB // 4
