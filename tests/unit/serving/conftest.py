"""A model without weights, and requests to it on an engine that the test steps."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from services.serving.admission import Admission, Limits
from services.serving.ask import Ask, Event
from services.serving.engine import Sampling
from services.serving.generation import Generations
from services.serving.metrics import model_metrics
from services.serving.model import Model, read_model
from services.serving.prompts import Prompts, read_prompts
from tests.fakes.engine import FakeEngine
from tests.fakes.model import write_model

WAIT_S = 5
LIMITS = Limits(running_max=2, sequences_max=4, tokens_max=1000)


@dataclass
class Clock:
    """Stands still until the test moves it."""

    now_s: float = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.now_s


@dataclass
class Bench:
    """Requests to one model, on an engine that is ready."""

    model: Model
    prompts: Prompts
    limits: Limits = LIMITS
    engine: FakeEngine = field(default_factory=FakeEngine)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        """Puts the parts together."""
        self.admission = Admission(self.limits)
        metrics = model_metrics(self.model.name, self.model.version)
        self.generations = Generations(
            self.model, self.prompts, self.engine, self.admission, metrics, self.clock
        )
        self.engine.start(self.generations.listener(lambda: None))
        self.engine.become_ready()

    def ids(self, text: str) -> list[int]:
        """Tokens of a text."""
        return self.prompts.encode_text(text)

    def ask(self, prompt: str = "hi", **wishes: object) -> AsyncIterator[Event]:
        """Asks; nothing happens before the first event is awaited."""
        wishes.setdefault("sampling", Sampling())
        return self.generations.generate(Ask(self.ids(prompt), **wishes))

    def script(self, *texts: str, end: bool = True) -> None:
        """What the next sequences answer."""
        self.engine.script(*(self.ids(text) + [self.model.end_ids[0]] * end for text in texts))

    @property
    def held(self) -> tuple[int, int, int, int]:
        """What requests hold: running, waiting, tokens, and the engine's own count."""
        admission = self.admission
        return (admission.running, admission.waiting, admission.tokens, self.engine.load.running)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder."""
    return write_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def prompts(folder: Path) -> Prompts:
    """Its tokenizer and template."""
    return read_prompts(folder)


@pytest.fixture(scope="session")
def model(folder: Path) -> Model:
    """Its description."""
    return read_model(folder, "tiny")


@pytest.fixture
def bench(model: Model, prompts: Prompts) -> Bench:
    """Two sequences at a time, four in all."""
    return Bench(model, prompts)


def texts_of(events: Sequence[Event]) -> str:
    """The text of all Deltas."""
    return "".join(getattr(event, "text", "") for event in events)
