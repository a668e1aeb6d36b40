"""A replica: one model, its engine process and its queue, started and stopped together."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from services.serving.admission import Admission, Limits
from services.serving.engine_process import EngineProcess
from services.serving.generation import Generations
from services.serving.metrics import model_metrics
from services.serving.model import Model, read_model
from services.serving.prompts import Prompts, read_prompts
from services.serving.settings import Settings


class Replica:
    """What the servicer answers from. Must be made on the event loop that runs it."""

    def __init__(self, settings: Settings) -> None:
        self.model: Model = read_model(settings.model_dir, settings.model_name)
        self.prompts: Prompts = read_prompts(settings.model_dir)
        self.admission = Admission(
            Limits(settings.sequences_max, settings.queue_sequences_max, settings.queue_tokens_max)
        )
        self.engine = EngineProcess(
            worker_config(settings, self.model.engine_folder, self.model.context_tokens_max),
            stall_s_min=settings.stall_s_min,
            load_timeout_s=settings.load_timeout_s,
        )
        metrics = model_metrics(self.model.name, self.model.version)
        metrics.follow(
            lambda: self.engine.load, lambda: self.admission.waiting, lambda: self.engine.restarts
        )
        self.generations = Generations(
            self.model, self.prompts, self.engine, self.admission, metrics, time.monotonic
        )
        self.draining = False

    def start(self, on_change: Callable[[], None]) -> None:
        """Starts the engine; `on_change` is called whenever `engine.ready` has changed."""
        self.engine.start(self.generations.listener(on_change))

    async def close(self) -> None:
        """Ends the engine."""
        await self.engine.close()


def worker_config(
    settings: Settings, engine_folder: Path, context_tokens_max: int
) -> dict[str, Any]:
    """What the engine's process is told."""
    return {
        "model_dir": str(engine_folder),
        "cache_gib": settings.cache_gib,
        "sequences_max": settings.sequences_max,
        "batch_tokens_max": settings.batch_tokens_max,
        "prefix_caching": settings.prefix_caching,
        "threads": settings.threads,
        "warm_up_tokens": min(settings.batch_tokens_max, context_tokens_max - 8),
    }
