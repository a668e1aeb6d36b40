"""Reads back what W&B keeps of a run: from its folder offline, from its server online.

A run whose process was killed can be read too. Knows nothing of models.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from training.settings import TrainingSettings, secret

READ_S = 20


def read_summary(settings: TrainingSettings, run: str) -> dict[str, float]:
    """The latest value of each metric of a run, named as in training.tracking.tracker; empty when
    it cannot be read, for whatever reason."""
    try:
        found = _online(settings, run) if "/" in run else _offline(settings, run)
    except Exception as error:
        print(f"W&B's run {run} cannot be read: {type(error).__name__}: {error}"[:300], flush=True)
        return {}
    return {
        name: float(value)
        for name, value in found.items()
        if isinstance(value, int | float) and not name.startswith("_")
    }


def _offline(settings: TrainingSettings, run: str) -> dict[str, Any]:
    if settings.wandb_dir is None or Path(run).name != run:
        return {}
    (file,) = (settings.wandb_dir / "wandb" / run).glob("run-*.wandb")
    program = Path(sys.executable).with_name("wandb")
    command = [str(program), "leet", "inspect", "--summary", "--json", str(file)]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=READ_S)
    summary: dict[str, Any] = json.loads(told.stdout)["summary"]
    return summary


def _online(settings: TrainingSettings, run: str) -> dict[str, Any]:
    import wandb

    key_file = settings.wandb_key_file
    overrides = {"base_url": settings.wandb_base_url} if settings.wandb_base_url else {}
    api = wandb.Api(
        overrides=overrides, timeout=READ_S, api_key=secret(key_file) if key_file else None
    )
    return dict(api.run(run).summary)
