"""One loaded version of a model: its engine and its queue, started and ended together."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from services.serving.admission import Admission, Limits
from services.serving.engine import Engine
from services.serving.generation import Generations
from services.serving.metrics import model_metrics
from services.serving.model import Model
from services.serving.prompts import Prompts
from services.serving.routing import Phase
from services.serving.wanted import Key, Version


class Loaded:
    """A version that can answer. `memory_bytes` is what it may take."""

    def __init__(
        self,
        version: Version,
        model: Model,
        prompts: Prompts,
        engine: Engine,
        limits: Limits,
        memory_bytes: int = 1,
    ) -> None:
        self.version = version
        self.model = model
        self.prompts = prompts
        self.engine = engine
        self.memory_bytes = memory_bytes
        self.admission = Admission(limits)
        self.metrics = model_metrics(*version.key[:2])
        self.metrics.follow(
            lambda: self.engine.load, lambda: self.waiting, lambda: self.engine.restarts
        )
        self.generations = Generations(
            model, prompts, engine, self.admission, self.metrics, time.monotonic
        )
        self.draining = False
        self.closing = False
        # Whether the engine has ever come up.
        self.proven = False
        self._held = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def key(self) -> Key:
        """Which version it is."""
        return self.version.key

    @property
    def phase(self) -> Phase:
        """How far it has come."""
        if self.closing:
            return Phase.CLOSING
        if self.draining:
            return Phase.DRAINING
        if self.engine.failed:
            return Phase.BROKEN
        return Phase.READY if self.engine.ready else Phase.LOADING

    @property
    def waiting(self) -> int:
        """How many sequences have not begun, in the queue and in the engine."""
        return self.admission.waiting + self.engine.load.waiting

    @property
    def spare(self) -> bool:
        """Whether nothing waits for it."""
        return self.engine.ready and not self.admission.waiting

    def start(self, on_change: Callable[[], None]) -> None:
        """Starts the engine; `on_change` is called whenever `phase` may have changed."""

        def heard() -> None:
            self.proven |= self.engine.ready
            on_change()

        self.engine.start(self.generations.listener(heard))

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keeps the engine from being ended by `drain` while a request is on its way."""
        self._held += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._held -= 1
            if not self._held:
                self._idle.set()

    async def drain(self, patience_s: float) -> None:
        """Waits until no request is held, but not longer than that."""
        try:
            async with asyncio.timeout(patience_s):
                await self._idle.wait()
        except TimeoutError:
            return

    async def close(self) -> None:
        """Ends the engine, and whatever it was still at work on with Unavailable."""
        self.closing = True
        self.generations.abandon()
        await self.engine.close()
        self.metrics.forget()
