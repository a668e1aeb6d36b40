"""What happens between the steps of a training: checkpoints by the clock, a look at the loss, an
end on request.

Knows the trainer's callbacks; knows nothing of models or data.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training.errors import JobFailure


@dataclass(frozen=True)
class Step:
    """One step that is done."""

    number: int
    steps: int
    values: dict[str, float]
    """loss, learning_rate, grad_norm, tokens_per_s."""


class StepWatch(TrainerCallback):
    """Tells of each step, saves now and then, and ends the training when it must."""

    def __init__(
        self,
        on_step: Callable[[Step], None],
        is_stopping: Callable[[], bool],
        checkpoint_s: float,
    ) -> None:
        self._on_step, self._is_stopping = on_step, is_stopping
        self._checkpoint_s = checkpoint_s
        self._saved_s = self._logged_s = time.monotonic()
        self._counted = 0
        self.tokens = 0
        """Tokens that went through so far; the trainer counts them."""
        self.was_stopped = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Starts the clocks."""
        self._saved_s = self._logged_s = time.monotonic()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Asks for a checkpoint when it is time, and for the end when somebody wants it."""
        if self._is_stopping():
            self.was_stopped = True
            control.should_training_stop = True
            control.should_save = True
        elif time.monotonic() - self._saved_s >= self._checkpoint_s:
            control.should_save = True

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Counts from the end of a save, so that slow disks are not only saved to."""
        self._saved_s = time.monotonic()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Passes the step on. Raises JobFailure when its loss is no number."""
        if not logs or "loss" not in logs:
            return
        for name in ("loss", "grad_norm"):
            if not math.isfinite(logs.get(name, 0.0)):
                raise _not_finite(name, state.global_step, logs.get("learning_rate", 0.0))
        now_s = time.monotonic()
        rate = (self.tokens - self._counted) / max(now_s - self._logged_s, 1e-6)
        self._logged_s, self._counted = now_s, self.tokens
        values = {
            name: logs[name] for name in ("loss", "learning_rate", "grad_norm") if name in logs
        }
        self._on_step(Step(state.global_step, state.max_steps, values | {"tokens_per_s": rate}))


def _not_finite(name: str, step: int, rate: float) -> JobFailure:
    what = "loss" if name == "loss" else "gradient"
    return JobFailure(
        "LOSS_NOT_FINITE",
        f"the {what} is no number any more at step {step}, with a learning rate of {rate:.3g}: "
        "train with a lower learning_rate, or look for broken rows in the data.",
    )
