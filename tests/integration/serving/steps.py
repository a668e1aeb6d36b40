"""The worker itself, step by step: which commands come before which step is written down, so that
no process and no clock has a say, and a mistake of the engine shows again in each run."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.serving import openvino_worker
from tests.integration.serving.small_engine import CONFIG

# A single other token among hundreds changes more.
LOGPROB_TOLERANCE = 2e-5
ANSWER_TOKENS_MAX = 40


@dataclass(frozen=True)
class Add:
    """A greedy request that goes past its end token."""

    sequence_id: int
    prompt_ids: list[int]
    tokens_max: int = ANSWER_TOKENS_MAX

    def message(self) -> list[Any]:
        """As the replica writes it."""
        options = {"max_new_tokens": self.tokens_max, "ignore_eos": True, "logprobs": 1}
        return ["add", self.sequence_id, list(self.prompt_ids), options, False]


@dataclass(frozen=True)
class Cancel:
    """Nobody wants that answer any more."""

    sequence_id: int

    def message(self) -> list[Any]:
        """As the replica writes it."""
        return ["cancel", self.sequence_id]


Steps = list[list[Add | Cancel]]


@dataclass
class Answer:
    """What came of a request."""

    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish: str = ""


class Script:
    """A pipe whose commands come step by step, and which is gone when they are used up."""

    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []
        self._steps: Iterator[list[Add | Cancel]] = iter(())
        self._now: list[Add | Cancel] = []

    def play(self, steps: Steps) -> None:
        """Goes on with these."""
        self._steps, self._now = iter(steps), []

    def send(self, *message: Any) -> None:
        """Keeps what is not a step's."""
        self.said.append(message)

    def receive(self, *, wait: bool) -> list[Any] | None:
        """The next command of this step. Who waits for one is taken to the next step that has one;
        raises EOFError behind the last."""
        while not self._now:
            following = next(self._steps, None)
            if following is None and wait:
                raise EOFError
            self._now = list(following or [])
            if not wait:
                return None
        return self._now.pop(0).message()


class Player:
    """A worker that plays scripts."""

    def __init__(self, model: Path, *, prefix_caching: bool, batch_tokens: int) -> None:
        self._pipe = Script()
        config = {
            **CONFIG,
            "model_dir": str(model / "openvino"),
            "prefix_caching": prefix_caching,
            "batch_tokens_max": batch_tokens,
        }
        self._worker = openvino_worker.Worker(self._pipe, config)
        self._worker.start()

    def play(self, steps: Steps) -> dict[int, Answer]:
        """Plays all of it; what was cancelled comes as far as it did."""
        self._pipe.play(steps)
        answers: dict[int, Answer] = {}
        with suppress(EOFError):
            while True:
                for sequence_id, ids, logprobs, finish in self._worker.turn():
                    answer = answers.setdefault(sequence_id, Answer())
                    answer.token_ids += ids
                    answer.logprobs += logprobs
                    answer.finish = finish
        assert [said[0] for said in self._pipe.said] == ["ready"]
        return answers
