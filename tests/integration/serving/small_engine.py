"""The real engine with a cache of so many blocks, in place of gibibytes: here or in its process."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import openvino_genai

WORKER = """
from services.serving import openvino_worker
from tests.integration.serving.small_engine import blocks

with blocks({count}):
    openvino_worker.main()
"""
CONFIG = {
    "cache_gib": 0,
    "sequences_max": 8,
    "batch_tokens_max": 128,
    "message_interval_s_min": 0.0,
    "messages_per_s_max": 1e9,
    "threads": 2,
    "warm_up_tokens": 128,
}


def command(count: int) -> tuple[str, ...]:
    """How to start a worker whose cache has so many blocks."""
    return sys.executable, "-c", WORKER.format(count=count)


@contextmanager
def blocks(count: int) -> Iterator[None]:
    """Engines that are made within have so many blocks."""
    made = openvino_genai.SchedulerConfig

    def make() -> openvino_genai.SchedulerConfig:
        config = made()
        config.num_kv_blocks = count
        return config

    with patch.object(openvino_genai, "SchedulerConfig", make):
        yield
