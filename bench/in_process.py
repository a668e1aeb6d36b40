"""The engine alone, in one process, with the replica's own settings: what the mesh is measured
against.

`python -m bench.in_process FOLDER CORES` reads one JSON array [first, streams, prompt_tokens,
tokens] a line and answers each with one line, [tokens sampled, seconds, median seconds to the first
token], so that rounds can alternate with others'. CORES is how many it counts on, 0 for all.
"""

import json
import random
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import openvino

from services.serving import openvino_worker
from services.serving.loader import worker_config
from services.serving.model import read_model
from services.serving.settings import Settings


def measure(
    pipeline: object, first: int, streams: int, prompt_tokens: int, tokens: int
) -> tuple[int, float, float]:
    """Runs one batch, of streams numbered from `first` on; returns tokens sampled, seconds, and the
    median time to the first token."""
    options = {"max_new_tokens": tokens, "ignore_eos": True}
    began_s = time.perf_counter()
    handles = [
        pipeline.add_request(
            first + index,
            # No prompt twice, for the engine keeps what it computed.
            openvino.Tensor(np.array([prompt(first + index, prompt_tokens)], np.int64)),
            openvino_worker.generation_config(dict(options)),
        )
        for index in range(streams)
    ]
    firsts_s: dict[int, float] = {}
    sampled = 0
    while pipeline.has_non_finished_requests():
        pipeline.step()
        for index, handle in enumerate(handles):
            if handle.can_read():
                firsts_s.setdefault(index, time.perf_counter() - began_s)
                sampled += sum(len(out.generated_ids) for out in handle.read().values())
    return sampled, time.perf_counter() - began_s, statistics.median(firsts_s.values())


def prompt(index: int, tokens: int) -> list[int]:
    """The prompt of stream `index`: ids of ordinary tokens, different for each stream."""
    return random.Random(index).choices(range(300, 800), k=tokens)


def main() -> None:
    """Loads the model, then measures what each line of standard input asks."""
    settings = Settings(
        address="unix:unused", model_dir=Path(sys.argv[1]), cores=float(sys.argv[2])
    )
    pipeline = openvino_worker.load(worker_config(settings, read_model(settings.model_dir, "")))
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(measure(pipeline, *json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
