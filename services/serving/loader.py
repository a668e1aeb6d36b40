"""Makes a loaded version of a model folder, with an engine process of its own."""

import asyncio
from pathlib import Path
from typing import Any, Protocol

from services.serving.admission import Limits
from services.serving.engine_process import EngineProcess
from services.serving.loaded import Loaded
from services.serving.memory import estimate
from services.serving.model import ENGINE_FOLDER, Model, read_model
from services.serving.prompts import Prompts, read_prompts
from services.serving.settings import Settings
from services.serving.source import FolderSource
from services.serving.wanted import Version


class Loader(Protocol):
    """What makes loaded versions."""

    def measure(self, folder: Path) -> int:
        """Bytes of memory that the version in a folder will take."""

    async def load(self, version: Version, folder: Path) -> Loaded:
        """Reads a verified folder; the engine is not started yet.

        Raises OSError or ValueError that names what is missing or wrong.
        """


class EngineLoader:
    """Makes versions whose engines are processes, as the settings say."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def measure(self, folder: Path) -> int:
        """Bytes of memory that the version in a folder will take."""
        return estimate(folder / ENGINE_FOLDER, self._settings.cache_gib)

    async def load(self, version: Version, folder: Path) -> Loaded:
        """Reads a verified folder on a thread, since its tokenizer may be large."""
        model, prompts = await asyncio.to_thread(_read, version, folder)
        return self.make(version, model, prompts)

    def make(self, version: Version, model: Model, prompts: Prompts) -> Loaded:
        """Puts a version together."""
        settings = self._settings
        engine = EngineProcess(
            worker_config(settings, model),
            stall_s_min=settings.stall_s_min,
            load_timeout_s=settings.load_timeout_s,
        )
        limits = Limits(
            settings.sequences_max,
            settings.queue_sequences_max,
            settings.queue_tokens_max,
            settings.queue_wait_s_max,
        )
        return Loaded(version, model, prompts, engine, limits, self.measure(model.folder))


def read_folder(settings: Settings, folder: Path) -> Loaded:
    """Makes the one version of a model folder, past any registry.

    Raises FileNotFoundError or ValueError that names what is missing or wrong.
    """
    source = FolderSource(folder, settings.model_name)
    return EngineLoader(settings).make(source.version, source.model, read_prompts(folder))


def worker_config(settings: Settings, model: Model) -> dict[str, Any]:
    """What the engine's process is told."""
    return {
        "model_dir": str(model.engine_folder.resolve()),
        "cache_gib": settings.cache_gib,
        "sequences_max": settings.sequences_max,
        "batch_tokens_max": settings.batch_tokens_max,
        "prefix_caching": settings.prefix_caching,
        "threads": settings.engine_threads,
        "message_interval_s_min": settings.message_interval_s_min,
        "messages_per_s_max": settings.message_rate_max,
        "warm_up_tokens": max(min(settings.batch_tokens_max, model.context_tokens_max - 8), 1),
    }


def _read(version: Version, folder: Path) -> tuple[Model, Prompts]:
    model = read_model(folder, version.key.model, version.key.digest)
    return model, read_prompts(folder)
