"""Keeps one engine process running: starts it, talks to it, notices its death or stall, starts it
again.

A worker that says nothing for a while although it owes a word is stuck, and is killed. How long
that is follows from the longest step it took while warming up. A worker that keeps dying is started
again ever more slowly.

Commands and messages are lines of JSON over a socket pair, both ways without blocking the event
loop; what waits to be written is bounded by the prompts of the sequences that admission lets run.
Knows the messages (see `openvino_worker`) and nothing of what an engine computes.
"""

import asyncio
import json
import socket
import sys
from asyncio.subprocess import DEVNULL, Process, create_subprocess_exec
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from services.serving.engine import Death, Listener, Load, Progress, SequenceRequest
from services.serving.trial import Trial

log = structlog.get_logger()

WORKER = (sys.executable, "-m", "services.serving.openvino_worker")
ROOT = Path(__file__).resolve().parents[2]
# One message holds one step of all sequences, at about 100 bytes each.
LINE_BYTES_MAX = 1 << 20
# A step may be this many times longer than the longest of the warm-up before it counts as stuck:
# steps grow with the batch and the context, and the machine may be busy with other things.
STALL_STEPS = 10
STALL_S_MAX = 120.0
# Silence is counted in pieces of this share of the shortest stall, so that a pause of this process
# itself counts as one piece only.
STALL_PIECE = 0.25
END_S_MAX = 2.0
RESTART_DELAY_S_MIN, RESTART_DELAY_S_MAX = 0.05, 30.0
# Deaths in a row, without a step between them, after which nobody should wait for the next start.
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
        self._process: Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._listener: Listener | None = None
        self._task: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[int]] = set()
        self._trial = Trial()
        self._busy: set[int] = set()
        self._deaths_in_row = 0
        self._stall_s = load_timeout_s
        self._silent_s = 0.0
        self.ready = False
        self.restarts = 0
        self.load = Load()

    @property
    def failed(self) -> bool:
        """Whether the worker keeps dying."""
        return self._deaths_in_row >= DEATHS_TO_FAIL and not self.ready

    @property
    def pid(self) -> int | None:
        """The worker's process id, None while there is none."""
        return self._process.pid if self._process else None

    def start(self, listener: Listener) -> None:
        """Starts the worker; the listener hears when it is ready. Call it once."""
        self._listener = listener
        self._task = asyncio.get_running_loop().create_task(self._keep_running())

    async def close(self) -> None:
        """Ends the worker and waits for that. The listener hears nothing any more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._ending:
            # A killed process is gone at once, unless it hangs in the kernel.
            await asyncio.wait(self._ending, timeout=END_S_MAX)

    def submit(self, sequence: SequenceRequest) -> None:
        """Adds a sequence, only while `ready`; one that comes as the worker dies is lost with the
        others."""
        self._owe(sequence.id)
        if self._trial.enter(sequence):
            self._add(sequence)

    def cancel(self, sequence_id: int) -> None:
        """Ends a sequence. Safe to repeat, and when it has ended already."""
        if sequence_id in self._busy:
            self._busy.discard(sequence_id)
            if not self._trial.drop(sequence_id):
                self._send("cancel", sequence_id)

    def _owe(self, sequence_id: int) -> None:
        if not self._busy:
            self._silent_s = 0.0
        self._busy.add(sequence_id)

    def _add(self, sequence: SequenceRequest) -> None:
        prompt_ids, options = list(sequence.prompt_ids), _options(sequence)
        self._send("add", sequence.id, prompt_ids, options, sequence.made_again)

    def _send(self, *command: Any) -> None:
        # A dead worker closes its pipe before its death is heard of, which tells of all it had.
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(json.dumps(command, separators=(",", ":")).encode() + b"\n")

    async def _keep_running(self) -> None:
        while True:
            try:
                await self._live_once()
            except Exception:
                # Whatever it was, the replica must not be left without an engine.
                log.exception("engine handling failed")
                self._mourn("failed")
            await asyncio.sleep(_restart_delay_s(self._deaths_in_row))

    async def _live_once(self) -> None:
        """Runs one worker from its start to its end."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                process = await self._spawn(theirs.fileno())
            try:
                reader, self._writer = await asyncio.open_connection(
                    sock=ours, limit=LINE_BYTES_MAX
                )
                self._mourn(await self._follow(reader))
            finally:
                self._disconnect()
                self._end(process)

    async def _spawn(self, pipe: int) -> Process:
        self._process = await create_subprocess_exec(
            *self._command,
            str(pipe),
            json.dumps(self._config),
            pass_fds=[pipe],
            stdin=DEVNULL,
            cwd=ROOT,
        )
        self._stall_s, self._silent_s = self._load_timeout_s, 0.0
        log.info("engine starting", pid=self._process.pid)
        return self._process

    async def _follow(self, reader: asyncio.StreamReader) -> str:
        hearing = asyncio.create_task(self._hear(reader))
        watching = asyncio.create_task(self._watch())
        try:
            await asyncio.wait((hearing, watching), return_when=asyncio.FIRST_COMPLETED)
            return hearing.result() if hearing.done() else "stuck"
        finally:
            hearing.cancel()
            watching.cancel()

    async def _hear(self, reader: asyncio.StreamReader) -> str:
        """Takes messages until there are no more; returns why."""
        with suppress(ConnectionError):
            while line := await reader.readline():
                kind, *rest = json.loads(line)
                self._silent_s = 0.0
                match kind:
                    case "step":
                        self._on_step(*rest)
                    case "ready":
                        self._on_ready(*rest)
                    case "refused" | "lost":
                        self._on_failed(kind, *rest)
                    case "broken":
                        log.error("engine broke", words=rest[0])
                        return "broken"
        return "ended"

    async def _watch(self) -> None:
        """Returns when the worker has said nothing for too long."""
        piece_s = STALL_PIECE * self._stall_s_min
        while self._silent_s <= self._stall_s:
            await asyncio.sleep(piece_s)
            if self._busy or not self.ready:
                self._silent_s += piece_s

    def _on_ready(self, longest_step_s: float) -> None:
        self._stall_s = min(max(self._stall_s_min, STALL_STEPS * longest_step_s), STALL_S_MAX)
        self.ready = True
        log.info("engine ready", pid=self.pid, stall_s=round(self._stall_s, 1))
        self._listener.on_ready()  # type: ignore[union-attr]

    def _on_step(
        self,
        rows: list[tuple[int, list[int], list[float], str]],
        running: int,
        cache_usage: float,
        waiting: int,
        preemptions: int,
    ) -> None:
        self._deaths_in_row = 0
        self.load = Load(running, cache_usage, waiting, self.load.preemptions + preemptions)
        progress = []
        for row in rows:
            sequence_id, token_ids, _, finish = row
            if sequence_id == self._trial.trying:
                self._settle(sequence_id, proven=bool(token_ids))
            if sequence_id in self._busy:
                progress.append(Progress(*row))
                if finish:
                    self._busy.discard(sequence_id)
        self._listener.on_progress(progress)  # type: ignore[union-attr]

    def _on_failed(self, how: str, sequence_id: int, words: str) -> None:
        log.error(f"engine {how} a sequence", sequence=sequence_id, words=words)
        self._settle(sequence_id, proven=False)
        if sequence_id in self._busy:
            self._busy.discard(sequence_id)
            listener: Listener = self._listener  # type: ignore[assignment]
            tell = listener.on_lost if how == "lost" else listener.on_refused
            tell(sequence_id)

    def _settle(self, sequence_id: int, *, proven: bool) -> None:
        for sequence in self._trial.settle(sequence_id, proven=proven):
            self._add(sequence)

    def _mourn(self, how: str) -> None:
        self._disconnect()
        culprit = self._trial.trying
        lost = len(self._busy)
        self._busy.clear()
        self._trial.clear()
        self.load = Load(preemptions=self.load.preemptions)
        self._deaths_in_row += 1
        self.restarts += 1
        log.error("engine died", how=how, lost=lost, in_row=self._deaths_in_row)
        self._listener.on_death(Death(culprit, self.failed))  # type: ignore[union-attr]

    def _disconnect(self) -> None:
        self.ready = False
        if self._writer is not None:
            self._writer.transport.abort()
        self._writer = self._process = None

    def _end(self, process: Process) -> None:
        with suppress(ProcessLookupError):
            process.kill()
        ending = asyncio.create_task(process.wait())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)


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
        options["grammar"] = sequence.format.grammar
    return options
