"""Keeps one engine process running: starts it, talks to it, notices its death or stall, starts it
again.

A worker that says nothing for a while although it has work is stuck, and is killed. How long that
is follows from the longest step it took while warming up. A worker that keeps dying is started
again ever more slowly.

Knows the pipe's messages and nothing of what an engine computes.
"""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import structlog

from services.serving.engine import Listener, Load, Progress, SequenceRequest

log = structlog.get_logger()

WORKER = (sys.executable, "-m", "services.serving.openvino_worker")
# A step may be this many times longer than the longest of the warm-up before it counts as stuck:
# steps grow with the batch and the context, and the machine may be busy with other things.
STALL_STEPS = 20
STALL_S_MAX = 120.0
RESTART_DELAY_S_MIN, RESTART_DELAY_S_MAX = 0.05, 30.0
# Deaths in a row, without an answer between them, after which health says that this replica cannot
# serve.
DEATHS_TO_FAIL = 5


class EngineProcess:
    """An `Engine` in a process of its own.

    `config` is what the worker takes as its second argument. Everything runs on one event loop.
    """

    def __init__(
        self,
        config: dict[str, Any],
        *,
        stall_s_min: float,
        load_timeout_s: float,
        worker: Sequence[str] = WORKER,
    ) -> None:
        self._config = config
        self._stall_s_min = stall_s_min
        self._load_timeout_s = load_timeout_s
        self._command = worker
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None
        self._listener: Listener | None = None
        self._busy: set[int] = set()
        self._deaths_in_row = 0
        self._stall_timer: asyncio.TimerHandle | None = None
        self._stall_s = load_timeout_s
        self._closing = False
        self.ready = False
        self.restarts = 0
        self.load = Load()

    @property
    def failed(self) -> bool:
        """Whether the worker keeps dying."""
        return self._deaths_in_row >= DEATHS_TO_FAIL

    @property
    def pid(self) -> int | None:
        """The worker's process id, None while there is none."""
        return self._process.pid if self._process else None

    def start(self, listener: Listener) -> None:
        """Starts the worker; the listener hears when it is ready."""
        self._listener = listener
        self._spawn()

    def submit(self, sequence: SequenceRequest) -> None:
        """Adds a sequence. Only while `ready`; one that comes as the worker dies is lost with the
        others."""
        self._busy.add(sequence.id)
        self._watch()
        self._send("add", sequence.id, list(sequence.prompt_ids), _options(sequence))

    def cancel(self, sequence_id: int) -> None:
        """Ends a sequence. Safe to repeat, and when it has ended already."""
        if sequence_id in self._busy:
            self._forget(sequence_id)
            self._send("cancel", sequence_id)

    async def close(self) -> None:
        """Ends the worker and waits for that. Nothing is told to the listener any more."""
        self._closing = True
        if self._process is not None:
            process = self._process
            self._disconnect()
            await asyncio.to_thread(process.wait)

    def _spawn(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [*self._command, str(theirs.fileno()), json.dumps(self._config)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self._pipe = Connection(ours.detach())
        asyncio.get_running_loop().add_reader(self._pipe.fileno(), self._receive)
        self._stall_s = self._load_timeout_s
        self._watch()
        log.info("engine starting", pid=self._process.pid)

    def _send(self, *command: Any) -> None:
        try:
            self._pipe.send(command)  # type: ignore[union-attr]
        except (OSError, AttributeError):
            # The reader sees the same end of the pipe and mends it.
            log.info("engine gone while sending", command=command[0])

    def _receive(self) -> None:
        try:
            kind, *rest = self._pipe.recv()  # type: ignore[union-attr]
        except (EOFError, OSError):
            self._die("ended")
            return
        self._watch()
        match kind:
            case "step":
                self._on_step(*rest)
            case "ready":
                self._on_ready(*rest)
            case "refused":
                self._on_refused(*rest)
            case "broken":
                log.error("engine broke", words=rest[0])
                self._die("broken")

    def _on_ready(self, longest_step_s: float) -> None:
        self._stall_s = min(max(self._stall_s_min, STALL_STEPS * longest_step_s), STALL_S_MAX)
        self.ready = True
        log.info("engine ready", pid=self.pid, stall_s=round(self._stall_s, 1))
        self._listener.on_ready()  # type: ignore[union-attr]

    def _on_step(
        self,
        found: list[tuple[int, list[int], list[float], str]],
        running: int,
        cache_usage: float,
    ) -> None:
        self._deaths_in_row = 0
        self.load = Load(running, cache_usage)
        progress = [Progress(*row) for row in found if row[0] in self._busy]
        for row in progress:
            if row.finish:
                self._forget(row.id)
        self._listener.on_progress(progress)  # type: ignore[union-attr]

    def _on_refused(self, sequence_id: int, words: str) -> None:
        log.error("engine refused a sequence", sequence=sequence_id, words=words)
        if sequence_id in self._busy:
            self._forget(sequence_id)
            self._listener.on_refused(sequence_id)  # type: ignore[union-attr]

    def _forget(self, sequence_id: int) -> None:
        self._busy.discard(sequence_id)
        self._watch()

    def _watch(self) -> None:
        """Starts the wait for the worker's next word anew, where one is owed."""
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None
        if self._busy or not self.ready:
            loop = asyncio.get_running_loop()
            self._stall_timer = loop.call_later(self._stall_s, self._die, "stuck")

    def _die(self, how: str) -> None:
        process = self._process
        self._disconnect()
        if self._closing or process is None:
            return
        self._deaths_in_row += 1
        self.restarts += 1
        delay_s = _restart_delay_s(self._deaths_in_row)
        log.error("engine died", how=how, pid=process.pid, lost=len(self._busy), again_in_s=delay_s)
        self._busy.clear()
        self.load = Load()
        loop = asyncio.get_running_loop()
        loop.run_in_executor(None, process.wait)
        loop.call_later(delay_s, self._respawn)
        self._listener.on_death(how == "broken")  # type: ignore[union-attr]

    def _respawn(self) -> None:
        if not self._closing:
            self._spawn()

    def _disconnect(self) -> None:
        self.ready = False
        if self._stall_timer is not None:
            self._stall_timer.cancel()
        if self._pipe is not None:
            asyncio.get_running_loop().remove_reader(self._pipe.fileno())
            self._pipe.close()
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
        self._pipe = self._process = None


def _restart_delay_s(deaths: int) -> float:
    return min(RESTART_DELAY_S_MIN * 4 ** (deaths - 1), RESTART_DELAY_S_MAX)


def _options(sequence: SequenceRequest) -> dict[str, Any]:
    """Puts a sequence into OpenVINO GenAI's generation options, named as its attributes are."""
    sampling = sequence.sampling
    options: dict[str, Any] = {
        "max_new_tokens": sequence.tokens_max,
        "ignore_eos": not sequence.end_ids,
        "stop_token_ids": list(sequence.end_ids),
        "repetition_penalty": sampling.repetition_penalty,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "logprobs": int(sequence.logprobs),
    }
    if sampling.temperature > 0:
        options |= {
            "do_sample": True,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "min_p": sampling.min_p,
            "rng_seed": sampling.seed,
        }
        if sampling.top_k:
            options["top_k"] = sampling.top_k
    if sequence.format is not None:
        options["format"] = (sequence.format.kind, sequence.format.text)
    return options
