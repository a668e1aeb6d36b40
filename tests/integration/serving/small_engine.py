"""The real worker with a cache of so many blocks, in place of gibibytes."""

import sys

WORKER = """
import openvino_genai
from services.serving import openvino_worker

def make_small():
    config = make()
    config.num_kv_blocks = {blocks}
    return config

make, openvino_genai.SchedulerConfig = openvino_genai.SchedulerConfig, make_small
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


def command(blocks: int) -> tuple[str, ...]:
    """How to start it."""
    return sys.executable, "-c", WORKER.format(blocks=blocks)
