"""A remote server's model in the place of a loaded version: what a replica and its list ask of one.

It has the shape of `loaded.Loaded`, for those who route, list, join and measure.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from services.serving.admission import Admission
from services.serving.engine import Load
from services.serving.remote.dialects import Dialect
from services.serving.remote.generations import RemoteGenerations
from services.serving.routing import Phase
from services.serving.wanted import Key, Version


@dataclass(frozen=True, slots=True)
class FarEngine:
    """An engine somewhere else, of which only this replica's own share is known."""

    is_well: Callable[[], bool]
    admission: Admission
    failed: bool = False
    restarts: int = 0

    @property
    def ready(self) -> bool:
        """Whether its server answers."""
        return self.is_well()

    @property
    def load(self) -> Load:
        """How many answers this replica has it make."""
        return Load(running=self.admission.running)


@dataclass(frozen=True, slots=True)
class FarModel:
    """What is known of the model; a context of 0 tokens is not known."""

    context_tokens_max: int


@dataclass(frozen=True, slots=True)
class NoPrompts:
    """Texts become tokens over there."""

    vocabulary: None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """One version that a remote server answers for."""

    version: Version
    dialect: Dialect
    model: FarModel
    engine: FarEngine
    admission: Admission
    generations: RemoteGenerations
    prompts: NoPrompts = NoPrompts()
    memory_bytes: int = 0
    draining: bool = False

    @property
    def key(self) -> Key:
        """Which version it is."""
        return self.version.key

    @property
    def phase(self) -> Phase:
        """Ready while its server is."""
        return Phase.READY if self.engine.ready else Phase.LOADING

    @property
    def waiting(self) -> int:
        """How many sequences have not been asked for yet."""
        return self.admission.waiting

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Nothing here is ever unloaded."""
        yield
