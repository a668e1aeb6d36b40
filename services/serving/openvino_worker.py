"""The engine's own process: OpenVINO GenAI's continuous batching, at most one message per step.

`step()` holds the interpreter's lock for its whole length, which would starve an event loop beside
it; hence the process. Everything happens on one thread: commands are taken between steps, since
cancelling during one is not safe. The process ends with its parent, however that died.

Knows nothing of text, templates or gRPC. Run as `python -m services.serving.openvino_worker FD
CONFIG-JSON`.

Lines of JSON in: ["add", id, prompt_ids, options, made_again] | ["cancel", id]
            out: ["ready", longest_step_s]
               | ["step", [[id, token_ids, logprobs, finish], ...], running, cache_usage, waiting,
                  preemptions since the last step]
               | ["refused", id, words] | ["lost", id, words] | ["broken", words]
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
from itertools import count
from typing import Any, NoReturn

import numpy as np
import openvino
import openvino_genai

from services.rpc.scheduling import take_turns
from services.serving.pace import Outbox, Pace, Row
from services.serving.prefixes import BLOCK_TOKENS, Prefixes
from services.serving.sequences import Diverged, Room, Sequence, blocks

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
ENDS_PER_BLOCK = 6
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
    """The pipeline, its sequences, and the pipe to the replica."""

    def __init__(self, pipe: Pipe, config: dict[str, Any]) -> None:
        self._pipe = pipe
        self._config = config
        self._pipeline = load(config)
        # The engine's own ids: one that begins again is another to it.
        self._starts = count()
        self._live: dict[int, Sequence] = {}
        self._cancelled: list[int] = []
        self._cache_blocks = 0
        # With prefix caching: what the engine may have kept, and how much it holds.
        self._prefixes: Prefixes | None = None
        self._room = Room(0)
        # Who is to start, but not yet; whose answer nobody wants although it may not leave yet; and
        # how many blocks the next step gives back.
        self._waiting: dict[int, Sequence] = {}
        self._leaving: set[int] = set()
        self._left_blocks = 0
        self._preemptions = 0

    def run(self) -> None:
        """Works until the parent is gone: raises what the pipe does then."""
        self.start()
        pace = Pace(self._config["message_interval_s_min"], self._config["messages_per_s_max"])
        outbox = Outbox(pace, time.monotonic())
        while True:
            found = outbox.step(self.turn(), time.monotonic(), len(self._live))
            if found is not None:
                self._tell(found)

    def start(self) -> None:
        """Warms up and says that it is ready; takes seconds."""
        self._pipe.send("ready", self._warm_up())
        if self._config["prefix_caching"]:
            self._prefixes = Prefixes(ENDS_PER_BLOCK * self._cache_blocks)
            self._room = Room(self._cache_blocks)

    def turn(self) -> list[Row]:
        """Takes the commands that have come, makes a step, and returns what that brought.

        Waits for a command while there is nothing to do.
        """
        self._take_commands()
        self._step()
        return self._collect()

    def _tell(self, rows: list[Row]) -> None:
        counts = len(self._live), self._cache_usage(), len(self._waiting), self._preemptions
        self._pipe.send("step", rows, *counts)
        self._preemptions = 0

    def _take_commands(self) -> None:
        while command := self._pipe.receive(wait=not self._live and not self._cancelled):
            name, *rest = command
            if name == "add":
                self._add(*rest)
            else:
                self._cancel(*rest)

    def _add(
        self, sequence_id: int, prompt_ids: list[int], options: dict[str, Any], made_again: bool
    ) -> None:
        # A sequence that outgrows the cache would take the whole batch with it.
        cache_tokens = self._cache_blocks * BLOCK_TOKENS
        room = cache_tokens - len(prompt_ids)
        if room < 1:
            words = f"the key-value cache holds {cache_tokens} tokens; raise {CACHE_SETTING}"
            self._pipe.send("refused", sequence_id, words)
            return
        options["max_new_tokens"] = min(options["max_new_tokens"], room)
        self._waiting[sequence_id] = Sequence(prompt_ids, options, made_again)
        self._admit()

    def _admit(self) -> None:
        """Starts who may start: for room they wait in turn, for another to be read each alone."""
        for sequence_id, sequence in list(self._waiting.items()):
            if self._prefixes:
                if self._prefixes.must_wait(sequence.prompt_ids):
                    continue
                if not self._room.admits(sequence, list(self._live.values()), self._left_blocks):
                    break
            del self._waiting[sequence_id]
            self._start(sequence_id, sequence)

    def _start(self, sequence_id: int, sequence: Sequence) -> None:
        try:
            prompt = openvino.Tensor(np.array([sequence.prompt_ids], dtype=np.int64))
            config = generation_config(sequence.options)
            sequence.begin(self._pipeline.add_request(next(self._starts), prompt, config))
        except Exception as error:
            self._pipe.send("refused", sequence_id, str(error))
            return
        self._live[sequence_id] = sequence
        if self._prefixes:
            self._prefixes.started(sequence_id, sequence.prompt_ids)

    def _cancel(self, sequence_id: int) -> None:
        if self._waiting.pop(sequence_id, None):
            self._cancelled.append(sequence_id)
        elif sequence_id in self._live:
            if self._may_leave(sequence_id):
                self._drop(sequence_id)
            else:
                self._leaving.add(sequence_id)

    def _may_leave(self, sequence_id: int) -> bool:
        return self._prefixes is None or self._prefixes.may_leave(sequence_id)

    def _drop(self, sequence_id: int) -> None:
        self._take_out(sequence_id)
        # The replica hears of it with the next step.
        self._cancelled.append(sequence_id)

    def _take_out(self, sequence_id: int) -> Sequence:
        """Out of the engine; the next step frees its cache."""
        sequence = self._live.pop(sequence_id)
        sequence.handle.cancel()
        self._left_blocks += blocks(sequence.length)
        if self._prefixes:
            self._prefixes.left(sequence_id)
        return sequence

    def _step(self) -> None:
        try:
            self._pipeline.step()
        except Exception as error:
            # The pipeline cannot go on after this: every later step would raise as well.
            self._break(str(error))
        self._left_blocks = 0

    def _break(self, words: str) -> NoReturn:
        self._pipe.send("broken", words)
        os._exit(EXIT_BROKEN)

    def _collect(self) -> list[Row]:
        """Takes what the last step brought each sequence."""
        rows: list[Row] = [(sequence_id, [], [], CANCELLED) for sequence_id in self._cancelled]
        self._cancelled.clear()
        brought = []
        for sequence_id, sequence in list(self._live.items()):
            if sequence.handle.can_read():
                output = self._read(sequence)
                ids, finish = output.generated_ids, FINISH[output.finish_reason]
                brought.append((sequence_id, ids, bool(finish)))
                rows += self._take(sequence_id, ids, output.generated_log_probs, finish)
        if self._prefixes:
            self._settle(self._prefixes, brought)
        return rows

    def _read(self, sequence: Sequence) -> Any:
        outputs = sequence.handle.read()
        if not outputs:
            self._break("its cache was full, and it has given up what was in it")
        (output,) = outputs.values()
        return output

    def _take(
        self, sequence_id: int, ids: list[int], logprobs: list[float], finish: str
    ) -> list[Row]:
        """What is new of a sequence: one row, or none."""
        sequence = self._live.pop(sequence_id) if finish else self._live[sequence_id]
        try:
            ids, logprobs = sequence.take(ids, logprobs)
        except Diverged as error:
            self._pipe.send("lost", sequence_id, str(error))
            self._leaving.add(sequence_id)
            return []
        return [(sequence_id, ids, logprobs, finish)] if ids or finish else []

    def _settle(self, prefixes: Prefixes, brought: list[tuple[int, list[int], bool]]) -> None:
        """After a step, lets go who may or must leave by now, and in who may start by now."""
        prefixes.stepped(brought)
        for sequence_id, _, _ in brought:
            if sequence_id in self._leaving:
                self._leaving.discard(sequence_id)
                if sequence_id in self._live:
                    self._drop(sequence_id)
        while not self._room.holds(self._live.values()):
            self._put_off(next(one for one in reversed(self._live) if self._may_leave(one)))
        self._admit()

    def _put_off(self, sequence_id: int) -> None:
        """Out of the engine, and before all who wait: of several, the youngest is put off first."""
        sequence = self._take_out(sequence_id)
        sequence.make_way()
        self._waiting = {sequence_id: sequence} | self._waiting
        self._preemptions += 1

    def _cache_usage(self) -> float:
        return self._pipeline.get_metrics().cache_usage / 100 if self._live else 0.0

    def _warm_up(self) -> float:
        """Runs the two shapes of step and the grammar compiler once, and returns the longest step's
        seconds. One step reads the prompt, so that what it takes of the cache tells the size."""
        prompt_ids = [0] * self._config["warm_up_tokens"]
        options = {"max_new_tokens": WARM_UP_TOKENS, "ignore_eos": True}
        self._start(0, Sequence(prompt_ids, options))
        longest_s = self._time_step()
        usage = self._pipeline.get_metrics().cache_usage / 100
        self._cache_blocks = round(blocks(len(prompt_ids)) / usage)
        while self._live:
            longest_s = max(longest_s, self._time_step())
        self._start(0, Sequence(prompt_ids[:1], {**options, "grammar": WARM_UP_GRAMMAR}))
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
