"""Clients that keep all that a stream told them, to be compared with what it should have told.

As cheap as `streams.py`, whose reader they use; one line in a few is read as JSON there, each here.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.streams import DATA, HttpTarget, read_events

PATH = "/v1/completions"
TIMEOUT_S = 120.0


@dataclass(slots=True)
class Transcript:
    """What one client was given. Times are of `time.perf_counter`, and are not compared.

    `texts` and `finishes` are by choice; `tokens` are those that log probabilities came for.
    """

    texts: dict[int, str] = field(default_factory=dict)
    finishes: dict[int, str] = field(default_factory=dict)
    tokens: list[str] = field(default_factory=list)
    ids: int = 0
    usage: dict[str, int] | None = None
    error: str = ""
    status: int = 0
    retry_after: str = ""
    done: bool = False
    id: str = field(default="", compare=False)
    migrations: int = field(default=0, compare=False)
    sent_s: float = field(default=0.0, compare=False)
    first_s: float | None = field(default=None, compare=False)
    ended_s: float = field(default=0.0, compare=False)
    stall_s: float = field(default=0.0, compare=False)
    stall_at_s: float = field(default=0.0, compare=False)
    on_text: Callable[[], object] | None = field(default=None, compare=False)
    _last_s: float = field(default=0.0, compare=False)

    def take(self, line: bytes) -> None:
        """Takes one data line."""
        frame = json.loads(line[len(DATA) :])
        if problem := frame.get("error"):
            self.error = f"{problem.get('code')}: {problem.get('message')}"
            return
        if frame["id"] != self.id:
            self.id = frame["id"]
            self.ids += 1
        self.usage = frame.get("usage") or self.usage
        self.migrations = frame.get("parley", {}).get("migrations", self.migrations)
        for choice in frame["choices"]:
            self._take_choice(choice)

    def _take_choice(self, choice: Mapping[str, Any]) -> None:
        index = choice["index"]
        self.texts[index] = self.texts.get(index, "") + choice["text"]
        if choice["finish_reason"]:
            self.finishes[index] = self.finishes.get(index, "") + choice["finish_reason"]
        self.tokens += (choice.get("logprobs") or {}).get("tokens", ())
        if choice["text"]:
            self._note_time()

    def _note_time(self) -> None:
        now_s = time.perf_counter()
        if self.first_s is None:
            self.first_s = now_s
            if self.on_text is not None:
                self.on_text()
        elif now_s - self._last_s > self.stall_s:
            self.stall_s, self.stall_at_s = now_s - self._last_s, self._last_s
        self._last_s = now_s


async def fetch(
    target: HttpTarget, asked: Mapping[str, Any], on_text: Callable[[], object] | None = None
) -> Transcript:
    """Sends a streamed completion and reads it to its end; `on_text` is called at its first text.

    Never fails: what goes wrong is the transcript's error.
    """
    told = Transcript(sent_s=time.perf_counter(), on_text=on_text)
    writer = None
    try:
        async with asyncio.timeout(TIMEOUT_S):
            reader, writer = await target.connect()
            writer.write(target.post(PATH, asked))
            told.done = await read_events(reader, told)
            if not told.done and not told.error:
                told.error = "the stream ended early"
    except (OSError, ValueError, KeyError, asyncio.IncompleteReadError, TimeoutError) as error:
        told.error = told.error or repr(error)
    finally:
        if writer is not None:
            writer.transport.abort()
        told.ended_s = time.perf_counter()
    return told
