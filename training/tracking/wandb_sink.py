"""A job's run in W&B: offline by default, below one folder.

Each task's process writes a folder of its own for the same run id, which `wandb sync` joins. Knows
nothing of jobs but their ids.
"""

import re
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from training.settings import TrainingSettings, secret
from training.tracking.sink import Comparison, RunStart

INIT_S = 20
CORE = "wandb-core"
# W&B may be about to start its process when it is given up.
ENDING_S = 60.0
POLL_S = 0.1


class WandbSink:
    """One run, through the `wandb` package."""

    def __init__(self, settings: TrainingSettings) -> None:
        if settings.wandb_dir is None:
            raise ValueError("PARLEY_TRAINING_WANDB_DIR is not set")
        self._settings = settings
        self._folder: Path = settings.wandb_dir
        self._run: Any = None

    def open(self, start: RunStart) -> str:
        """Begins the run, or goes on with it; returns where it is."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        import wandb

        key_file = self._settings.wandb_key_file
        self._run = wandb.init(
            project=self._settings.wandb_project,
            entity=self._settings.wandb_entity or None,
            id=run_id(start.job_id),
            name=start.job_id[:64],
            group=start.experiment,
            config=dict(start.params),
            resume="allow" if self._settings.wandb_mode == "online" else None,
            settings=wandb.Settings(
                mode=self._settings.wandb_mode,
                root_dir=str(self._folder),
                api_key=secret(key_file) if key_file else None,
                console="off",
                silent=True,
                disable_git=True,
                disable_code=True,
                init_timeout=INIT_S,
                x_disable_stats=True,
                x_disable_meta=True,
                x_save_requirements=False,
                **self._server(),
            ),
        )
        if self._settings.wandb_mode == "online":
            return f"{self._run.entity}/{self._run.project}/{self._run.id}"
        return Path(self._run.dir).parent.name

    def log_metrics(self, step: int, values: dict[str, float]) -> None:
        """Adds values to the curves."""
        self._run.log({**values, "trainer_step": step})

    def log_dataset(self, digest: str, uri: str, context: str) -> None:
        """Names the data that went in."""
        self._run.config.update(
            {f"{context}_digest": digest, f"{context}_uri": uri}, allow_val_change=True
        )

    def log_comparison(self, comparison: Comparison) -> None:
        """Adds the table and its picture."""
        import wandb

        columns = ["metric", *comparison.names]
        rows = [[metric, *values] for metric, values in comparison.metrics.items()]
        self._run.log(
            {
                "comparison": wandb.Table(columns=columns, data=rows),
                "comparison_plot": wandb.Image(str(comparison.picture)),
            }
        )

    def set_tag(self, name: str, value: str) -> None:
        """Adds it to the configuration: W&B's tags have no values."""
        self._run.config.update({name: value}, allow_val_change=True)

    def close(self, has_ended: bool, is_failed: bool) -> None:
        """Ends this process's part of the run."""
        self._run.finish(exit_code=1 if is_failed else 0)

    def abandon(self) -> None:
        """Ends W&B's own process, for which this one would wait at its end, however long.

        What was told is in its folder, from which `wandb sync` takes it.
        """
        threading.Thread(target=_end_core, name="end-wandb", daemon=True).start()

    def _server(self) -> dict[str, str]:
        address = self._settings.wandb_base_url
        return {"base_url": address} if address else {}


def run_id(job_id: str) -> str:
    """The job's id as W&B takes ids."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", job_id)[:64]


def _end_core() -> None:
    """Kills W&B's process, also one that comes late; runs while this process ends."""
    import psutil

    end_s = time.monotonic() + ENDING_S
    while time.monotonic() < end_s:
        for child in psutil.Process().children():
            with suppress(psutil.Error):
                if child.name() == CORE:
                    child.kill()
        time.sleep(POLL_S)
