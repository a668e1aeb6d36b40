"""The engine's own process: OpenVINO GenAI's continuous batching, one message per step.

`step()` holds the interpreter's lock for its whole length, which would starve an event loop beside
it; hence the process. Everything happens on one thread: commands are taken between steps, since
cancelling during one is not safe. The process ends when its parent's end of the pipe closes,
however the parent died.

Knows nothing of text, templates or gRPC. Run as `python -m services.serving.openvino_worker FD
CONFIG-JSON`.

Commands in:  ("add", id, prompt_ids, options) | ("cancel", id)
Messages out: ("ready", longest_step_s)
              | ("step", [(id, token_ids, logprobs, finish), ...], running, cache_usage)
              | ("refused", id, words) | ("broken", words)
"""

import json
import os
import signal
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import openvino_genai

IDLE_POLL_S = 1.0
EXIT_PARENT_GONE, EXIT_BROKEN = 0, 1
# Weights are served at the precision they were exported with. On processors with bfloat16 units the
# plug-in would lower it by itself, and then an answer would depend on what else is in its batch.
PROPERTIES: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
FINISH = {
    openvino_genai.GenerationFinishReason.NONE: "",
    openvino_genai.GenerationFinishReason.STOP: "stop",
    openvino_genai.GenerationFinishReason.LENGTH: "length",
}


class Worker:
    """The pipeline, its live sequences, and the pipe to the replica."""

    def __init__(self, pipe: Connection, config: dict[str, Any]) -> None:
        self._pipe = pipe
        self._config = config
        self._pipeline = load(config)
        self._live: dict[int, Any] = {}

    def run(self) -> None:
        """Works until the parent is gone."""
        self._pipe.send(("ready", self._warm_up()))
        while True:
            self._take_commands()
            if self._live:
                self._step()
                self._report()

    def _step(self) -> None:
        try:
            self._pipeline.step()
        except RuntimeError as error:
            # The pipeline cannot go on after this: every later step would raise as well.
            self._pipe.send(("broken", str(error)))
            os._exit(EXIT_BROKEN)

    def _take_commands(self) -> None:
        while self._pipe.poll(0 if self._live else IDLE_POLL_S):
            command, *rest = self._pipe.recv()
            if command == "add":
                self._add(*rest)
            else:
                self._cancel(*rest)

    def _add(self, sequence_id: int, prompt_ids: list[int], options: dict[str, Any]) -> None:
        prompt = openvino.Tensor(np.array([prompt_ids], dtype=np.int64))
        try:
            self._live[sequence_id] = self._pipeline.add_request(
                sequence_id, prompt, generation_config(options)
            )
        except RuntimeError as error:
            self._pipe.send(("refused", sequence_id, str(error)))

    def _cancel(self, sequence_id: int) -> None:
        handle = self._live.pop(sequence_id, None)
        if handle is not None:
            handle.cancel()
            # A step is what frees a cancelled sequence's cache; without other work none would come.
            self._step()
            self._report()

    def _report(self) -> None:
        progress = []
        for sequence_id, handle in list(self._live.items()):
            found = _read(handle)
            if found is not None:
                progress.append((sequence_id, *found))
                if found[2]:
                    del self._live[sequence_id]
        usage = self._pipeline.get_metrics().cache_usage / 100 if self._live else 0.0
        self._pipe.send(("step", progress, len(self._live), usage))

    def _warm_up(self) -> float:
        """Runs the two shapes of step once, and returns the longer one's seconds."""
        longest_s = 0.0
        prompt_ids = [0] * self._config["warm_up_tokens"]
        self._add(0, prompt_ids, {"max_new_tokens": 4, "ignore_eos": True})
        while self._live:
            started_s = time.monotonic()
            self._pipeline.step()
            longest_s = max(longest_s, time.monotonic() - started_s)
            if any(found and found[2] for found in map(_read, self._live.values())):
                self._live.clear()
        return longest_s


def load(config: dict[str, Any]) -> openvino_genai.ContinuousBatchingPipeline:
    """Loads the pipeline that a replica's settings ask for; takes seconds."""
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.cache_size = config["cache_gib"]
    scheduler.max_num_seqs = config["sequences_max"]
    scheduler.max_num_batched_tokens = config["batch_tokens_max"]
    scheduler.enable_prefix_caching = config["prefix_caching"]
    properties = dict(PROPERTIES)
    if config["threads"]:
        properties["INFERENCE_NUM_THREADS"] = config["threads"]
    return openvino_genai.ContinuousBatchingPipeline(
        config["model_dir"], scheduler, "CPU", properties, {}
    )


def generation_config(options: dict[str, Any]) -> openvino_genai.GenerationConfig:
    """Makes OpenVINO GenAI's options; a key is the name of its attribute."""
    config = openvino_genai.GenerationConfig()
    form = options.pop("format", None)
    for name, value in options.items():
        setattr(config, name, set(value) if name == "stop_token_ids" else value)
    if form is not None:
        structured = openvino_genai.StructuredOutputConfig()
        setattr(structured, *form)
        config.structured_output_config = structured
    return config


def _read(handle: Any) -> tuple[list[int], list[float], str] | None:
    """Takes what a sequence has sampled since the last step, or None."""
    if not handle.can_read():
        return None
    (output,) = handle.read().values()
    return output.generated_ids, output.generated_log_probs, FINISH[output.finish_reason]


def main() -> None:
    """Loads the model and works until the parent is gone."""
    # A terminal's Ctrl-C reaches the whole process group; the replica decides when the engine ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe = Connection(int(sys.argv[1]))
    config = json.loads(sys.argv[2])
    config["model_dir"] = str(Path(config["model_dir"]).resolve())
    try:
        Worker(pipe, config).run()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        # Skips destructors: they take long and print about sequences that nobody waits for.
        os._exit(EXIT_PARENT_GONE)


if __name__ == "__main__":
    main()
