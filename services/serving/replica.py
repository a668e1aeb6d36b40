"""A replica: one model, its engine and its queue, started and stopped together."""

import time
from collections.abc import Callable
from typing import Any

from services.serving.admission import Admission, Limits
from services.serving.engine import Engine
from services.serving.engine_process import EngineProcess
from services.serving.generation import Generations
from services.serving.metrics import model_metrics
from services.serving.model import Model, read_model
from services.serving.prompts import Prompts, read_prompts
from services.serving.settings import Settings


class Replica:
    """What the servicer answers from."""

    def __init__(self, model: Model, prompts: Prompts, engine: Engine, limits: Limits) -> None:
        self.model = model
        self.prompts = prompts
        self.engine = engine
        self.admission = Admission(limits)
        metrics = model_metrics(model.name, model.version)
        metrics.follow(
            lambda: self.engine.load, lambda: self.admission.waiting, lambda: self.engine.restarts
        )
        self.generations = Generations(
            model, prompts, engine, self.admission, metrics, time.monotonic
        )
        self.draining = False

    @property
    def serving(self) -> bool:
        """Whether requests should be sent here."""
        return self.engine.ready and not self.draining

    def start(self, on_change: Callable[[], None]) -> None:
        """Starts the engine; `on_change` is called whenever `serving` may have changed."""
        self.engine.start(self.generations.listener(on_change))

    async def close(self) -> None:
        """Ends the engine."""
        await self.engine.close()


def read_replica(settings: Settings) -> Replica:
    """Makes the replica of a model folder, with an engine process of its own.

    Raises FileNotFoundError or ValueError that names what is missing or wrong.
    """
    model = read_model(settings.model_dir, settings.model_name)
    engine = EngineProcess(
        worker_config(settings, model),
        stall_s_min=settings.stall_s_min,
        load_timeout_s=settings.load_timeout_s,
    )
    limits = Limits(settings.sequences_max, settings.queue_sequences_max, settings.queue_tokens_max)
    return Replica(model, read_prompts(settings.model_dir), engine, limits)


def worker_config(settings: Settings, model: Model) -> dict[str, Any]:
    """What the engine's process is told."""
    return {
        "model_dir": str(model.engine_folder.resolve()),
        "cache_gib": settings.cache_gib,
        "sequences_max": settings.sequences_max,
        "batch_tokens_max": settings.batch_tokens_max,
        "prefix_caching": settings.prefix_caching,
        "threads": settings.threads,
        "message_interval_s_min": settings.message_interval_s_min,
        "messages_per_s_max": settings.messages_per_s_max,
        "warm_up_tokens": max(min(settings.batch_tokens_max, model.context_tokens_max - 8), 1),
    }
