"""A task's process as W&B sees it: opens a run, tells it a little, asks for its id, and ends.

python -m tests.integration.training.tell_wandb FOLDER MODE URL
"""

import sys
from pathlib import Path

from training.quiet import folders, quiet_libraries
from training.settings import TrainingSettings
from training.tracking.tracker import open_tracker


def main(folder: Path, mode: str, url: str) -> None:
    """Prints the run's id."""
    key = folder / "key"
    key.touch(0o600)
    key.write_text("k" * 40)
    told = {"wandb_mode": mode, "wandb_base_url": url, "wandb_key_file": key}
    settings = TrainingSettings(work_dir=folder, wandb_dir=folder / "wandb", **told)
    with quiet_libraries(), folders(settings.work_dir, settings.wandb_dir):
        tracker = open_tracker(settings, "job", "kites", {})
        for step in range(100):
            tracker.metrics(step, {"loss": float(step)})
        print(f"run {tracker.wandb_run()!r}")
        tracker.close(has_ended=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
