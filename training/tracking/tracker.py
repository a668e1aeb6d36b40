"""One run as the tasks see it; MLflow and W&B behind it.

No call fails, and none takes long: see training.tracking.sink.
"""

import time
from collections.abc import Callable
from typing import Any, Self

from training.errors import JobFailure
from training.settings import TrainingSettings
from training.tracking.sink import CLOSE_S, Comparison, Outlet, RunStart, Sink

OPEN_S = 3.0
STOP_S = 1.0
WANDB_TAG = "parley.wandb_run"


class Tracker:
    """A job's run wherever it is kept.

    A block with it lets go of the run where the work in it fails; who succeeds closes it.
    """

    def __init__(self, sinks: dict[str, Callable[[], Sink]], start: RunStart) -> None:
        self._outlets = {name: Outlet(name, make, start) for name, make in sinks.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """After what no repeat mends the run has failed; after all else it may go on."""
        if isinstance(error, JobFailure):
            self.close(has_ended=True, is_failed=True)
        elif error is not None:
            self.close(within_s=STOP_S)

    def metrics(self, step: int, values: dict[str, float]) -> None:
        """Adds values to the curves."""
        self._tell(lambda sink: sink.log_metrics(step, values))

    def dataset(self, digest: str, uri: str, context: str) -> None:
        """Names the data that went in; `context` is "training" or "evaluation"."""
        self._tell(lambda sink: sink.log_dataset(digest, uri, context))

    def comparison(self, comparison: Comparison) -> None:
        """Adds the table of models and its picture."""
        self._tell(lambda sink: sink.log_comparison(comparison))

    def mlflow_run(self) -> str:
        """The run's id in MLflow; empty where it could not be told. Waits a little."""
        return self._run_id("MLflow")

    def wandb_run(self) -> str:
        """The run in W&B: entity/project/id online, the folder's name offline; or empty."""
        found = self._run_id("W&B")
        if found and (mlflow := self._outlets.get("MLflow")):
            mlflow.tell(lambda sink: sink.set_tag(WANDB_TAG, found))
        return found

    def close(
        self, has_ended: bool = False, is_failed: bool = False, within_s: float = CLOSE_S
    ) -> None:
        """Lets what waits be told, for a while. `has_ended`: the job writes no more to its run."""
        end_s = time.monotonic() + within_s
        for outlet in self._outlets.values():
            outlet.close(has_ended, is_failed, max(0.0, end_s - time.monotonic()))

    def _run_id(self, name: str) -> str:
        outlet = self._outlets.get(name)
        return outlet.run_id(OPEN_S) if outlet else ""

    def _tell(self, call: Callable[[Sink], None]) -> None:
        for outlet in self._outlets.values():
            outlet.tell(call)


def open_tracker(
    settings: TrainingSettings, job_id: str, experiment: str, params: dict[str, Any]
) -> Tracker:
    """The tracker that the settings ask for."""
    sinks: dict[str, Callable[[], Sink]] = {}
    if settings.mlflow_url:
        sinks["MLflow"] = lambda: _mlflow(settings)
    if settings.wandb_mode != "disabled" and settings.wandb_dir is not None:
        sinks["W&B"] = lambda: _wandb(settings)
    texts = {name: str(value) for name, value in params.items()}
    return Tracker(sinks, RunStart(job_id, experiment, texts))


def _mlflow(settings: TrainingSettings) -> Sink:
    from training.tracking.mlflow_sink import MlflowSink

    return MlflowSink(settings.mlflow_url, settings.mlflow_key_file)


def _wandb(settings: TrainingSettings) -> Sink:
    from training.tracking.wandb_sink import WandbSink

    return WandbSink(settings)
