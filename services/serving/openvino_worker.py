"""The engine's own process: OpenVINO GenAI's continuous batching, at most one message per step.

`step()` holds the interpreter's lock for its whole length, which would starve an event loop beside
it; hence the process. Everything happens on one thread: commands are taken between steps, since
cancelling during one is not safe. The process ends with its parent, however that died.

Knows nothing of text, templates or gRPC. Run as `python -m services.serving.openvino_worker FD
CONFIG-JSON`.

Lines of JSON in: ["add", id, prompt_ids, options] | ["cancel", id]
            out: ["ready", longest_step_s]
               | ["step", [[id, token_ids, logprobs, finish], ...], running, cache_usage]
               | ["refused", id, words] | ["broken", words]
"""

import ctypes
import json
import os
import select
import signal
import socket
import sys
import time
from collections import deque
from typing import Any

import numpy as np
import openvino
import openvino_genai

from services.rpc.scheduling import take_turns
from services.serving.pace import Outbox, Pace, Row
from services.serving.prefixes import BLOCK_TOKENS, Prefixes

EXIT_PARENT_GONE, EXIT_BROKEN = 0, 1
PR_SET_PDEATHSIG = 1
RECEIVE_BYTES = 1 << 16
# Weights are served at the precision they were exported with. On processors with bfloat16 units the
# plug-in would lower it by itself, and then an answer would depend on what else is in its batch.
# Threads bound to cores would be bound to the same ones in every engine of the machine, and could
# not make way for what else runs there.
PROPERTIES: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False}
FINISH = {
    openvino_genai.GenerationFinishReason.NONE: "",
    openvino_genai.GenerationFinishReason.STOP: "stop",
    openvino_genai.GenerationFinishReason.LENGTH: "length",
}
CANCELLED = "cancelled"
WARM_UP_TOKENS = 4
CACHE_SETTING = "PARLEY_SERVING_CACHE_GIB"
# More than are kept at a time: a content may be forgotten here only after the engine forgot it.
ENDS_PER_BLOCK = 4
# Compiled once at the start, so that no answer waits while the compiler reads the vocabulary.
WARM_UP_GRAMMAR = 'root ::= [ -~]* ""'


class Pipe:
    """Lines of JSON to and from the replica."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lines: deque[bytes] = deque()
        self._rest = b""

    def send(self, *message: Any) -> None:
        """Writes one message; waits while the replica does not read."""
        self._connection.sendall(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    def receive(self, *, wait: bool) -> list[Any] | None:
        """Returns the next command, or None if there is none and `wait` is False.

        Raises EOFError when the replica is gone.
        """
        while not self._lines:
            if not wait and not select.select([self._connection], [], [], 0)[0]:
                return None
            data = self._connection.recv(RECEIVE_BYTES)
            if not data:
                raise EOFError
            *lines, self._rest = (self._rest + data).split(b"\n")
            self._lines.extend(lines)
        return json.loads(self._lines.popleft())


class Worker:
    """The pipeline, its live sequences, and the pipe to the replica."""

    def __init__(self, pipe: Pipe, config: dict[str, Any]) -> None:
        self._pipe = pipe
        self._config = config
        self._pipeline = load(config)
        self._live: dict[int, Any] = {}
        # Whose reader wants them: the engine has them for everybody.
        self._logprobs: set[int] = set()
        self._cancelled: list[int] = []
        self._cache_tokens = 0
        # With prefix caching: what the engine may have kept, who waits for another one to be read,
        # and whose answer nobody wants although it may not leave yet.
        self._prefixes: Prefixes | None = None
        self._waiting: dict[int, tuple[list[int], dict[str, Any]]] = {}
        self._leaving: set[int] = set()

    def run(self) -> None:
        """Works until the parent is gone."""
        self._pipe.send("ready", self._warm_up())
        if self._config["prefix_caching"]:
            self._prefixes = Prefixes(ENDS_PER_BLOCK * self._cache_tokens // BLOCK_TOKENS)
        pace = Pace(self._config["message_interval_s_min"], self._config["messages_per_s_max"])
        outbox = Outbox(pace, time.monotonic())
        while True:
            self._take_commands()
            self._step()
            rows = self._collect()
            found = outbox.step(rows, time.monotonic(), len(self._live))
            if found is not None:
                self._pipe.send("step", found, len(self._live), self._cache_usage())

    def _take_commands(self) -> None:
        while command := self._pipe.receive(wait=not self._live and not self._cancelled):
            name, *rest = command
            if name == "add":
                self._add(*rest)
            else:
                self._cancel(*rest)

    def _add(self, sequence_id: int, prompt_ids: list[int], options: dict[str, Any]) -> None:
        # A sequence that outgrows the cache would take the whole batch with it.
        room = self._cache_tokens - len(prompt_ids)
        if room < 1:
            words = f"the key-value cache holds {self._cache_tokens} tokens; raise {CACHE_SETTING}"
            self._pipe.send("refused", sequence_id, words)
            return
        options["max_new_tokens"] = min(options["max_new_tokens"], room)
        if self._prefixes and self._prefixes.must_wait(prompt_ids):
            self._waiting[sequence_id] = prompt_ids, options
        else:
            self._start(sequence_id, prompt_ids, options)

    def _start(self, sequence_id: int, prompt_ids: list[int], options: dict[str, Any]) -> None:
        try:
            prompt = openvino.Tensor(np.array([prompt_ids], dtype=np.int64))
            self._live[sequence_id] = self._pipeline.add_request(
                sequence_id, prompt, generation_config(options)
            )
        except Exception as error:
            self._pipe.send("refused", sequence_id, str(error))
            return
        if options.get("logprobs"):
            self._logprobs.add(sequence_id)
        if self._prefixes:
            self._prefixes.started(sequence_id, prompt_ids)

    def _cancel(self, sequence_id: int) -> None:
        if self._waiting.pop(sequence_id, None):
            self._cancelled.append(sequence_id)
        elif sequence_id in self._live:
            if self._prefixes and not self._prefixes.may_leave(sequence_id):
                self._leaving.add(sequence_id)
            else:
                self._drop(sequence_id)

    def _drop(self, sequence_id: int) -> None:
        self._forget(sequence_id).cancel()
        # The next step frees its cache; the replica hears of it with that step.
        self._cancelled.append(sequence_id)
        if self._prefixes:
            self._prefixes.left(sequence_id)

    def _step(self) -> None:
        try:
            self._pipeline.step()
        except Exception as error:
            # The pipeline cannot go on after this: every later step would raise as well.
            self._pipe.send("broken", str(error))
            os._exit(EXIT_BROKEN)

    def _collect(self) -> list[Row]:
        """Takes what the last step brought each sequence."""
        rows: list[Row] = [(sequence_id, [], [], CANCELLED) for sequence_id in self._cancelled]
        self._cancelled.clear()
        for sequence_id, handle in list(self._live.items()):
            if handle.can_read():
                rows.append(self._read(sequence_id, handle))
                if rows[-1][3]:
                    self._forget(sequence_id)
        if self._prefixes:
            self._settle(self._prefixes, rows)
        return rows

    def _read(self, sequence_id: int, handle: Any) -> Row:
        (output,) = handle.read().values()
        logprobs = output.generated_log_probs if sequence_id in self._logprobs else []
        return sequence_id, output.generated_ids, logprobs, FINISH[output.finish_reason]

    def _forget(self, sequence_id: int) -> Any:
        self._logprobs.discard(sequence_id)
        return self._live.pop(sequence_id)

    def _settle(self, prefixes: Prefixes, rows: list[Row]) -> None:
        """After a step, lets go who may leave by now, and in who may be read by now."""
        brought = [(row[0], row[1], bool(row[3])) for row in rows if row[3] != CANCELLED]
        prefixes.stepped(brought)
        for sequence_id, _, _ in brought:
            if sequence_id in self._leaving:
                self._leaving.discard(sequence_id)
                if sequence_id in self._live:
                    self._drop(sequence_id)
        for sequence_id, (prompt_ids, options) in list(self._waiting.items()):
            if not prefixes.must_wait(prompt_ids):
                del self._waiting[sequence_id]
                self._start(sequence_id, prompt_ids, options)

    def _cache_usage(self) -> float:
        return self._pipeline.get_metrics().cache_usage / 100 if self._live else 0.0

    def _warm_up(self) -> float:
        """Runs the two shapes of step and the grammar compiler once, and returns the longest step's
        seconds."""
        prompt_ids = [0] * self._config["warm_up_tokens"]
        options = {"max_new_tokens": WARM_UP_TOKENS, "ignore_eos": True}
        self._start(0, prompt_ids, options)
        longest_s = self._time_step()
        self._cache_tokens = int(len(prompt_ids) * 100 / self._pipeline.get_metrics().cache_usage)
        while self._live:
            longest_s = max(longest_s, self._time_step())
        self._start(0, prompt_ids[:1], {**options, "grammar": WARM_UP_GRAMMAR})
        while self._live:
            self._time_step()
        return longest_s

    def _time_step(self) -> float:
        started_s = time.monotonic()
        self._pipeline.step()
        self._collect()
        return time.monotonic() - started_s


def load(config: dict[str, Any]) -> openvino_genai.ContinuousBatchingPipeline:
    """Loads the pipeline that `config` asks for; takes seconds."""
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
    for name, value in options.items():
        if name == "grammar":
            config.structured_output_config = openvino_genai.StructuredOutputConfig()
            config.structured_output_config.grammar = value
        else:
            setattr(config, name, set(value) if name == "stop_token_ids" else value)
    return config


def main() -> None:
    """Loads the model and works until the parent is gone."""
    take_turns()
    # What a terminal or a supervisor sends to the whole group must not end answers that drain; the
    # replica decides when the engine ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # A parent that is killed while a step hangs would leave it hanging for ever.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    pipe = Pipe(socket.socket(fileno=int(sys.argv[1])))
    try:
        Worker(pipe, json.loads(sys.argv[2])).run()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        # Skips destructors: they take long and print about sequences that nobody waits for.
        os._exit(EXIT_PARENT_GONE)


if __name__ == "__main__":
    main()
