"""The card of a model that a job made. Knows jobs and cards, no weights."""

import json
from pathlib import Path

from training.card import CARD_NAME, ModelCard, write_card
from training.tasks.task import Json, Task
from training.tuning.base import is_starter
from training.tuning.tune import parameters_of


def write_tuned_card(task: Task, folder: Path, base: Path, prepared: Json, evaluated: Json) -> None:
    """Writes where the model in a folder comes from, and how well it answers."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    source = prepared["base"]
    data = {
        "job": task.job["id"],
        "base": f"{source['name']}@{source['number']}",
        "base_digest": source["digest"],
        "sha256": prepared["dataset"]["digest"],
        "rows": prepared["dataset"]["rows"],
        "evaluation_sha256": prepared["evaluation_digest"],
    }
    if is_starter(base, task.settings.starter):
        data["family"] = task.settings.starter
    card = ModelCard(
        name=task.conf["model"],
        description=f"Trained from {source['name']} on {prepared['dataset']['rows']} rows.",
        seed=int(task.conf.get("seed") or 0),
        parameters=parameters_of(folder),
        shape={
            name: config[name]
            for name in ("num_hidden_layers", "hidden_size", "num_attention_heads")
            if name in config
        },
        vocabulary=config["vocab_size"],
        precision="fp32",
        data=data,
        evaluation=evaluated["metrics"],
        licence=_licence(base),
    )
    write_card(card, folder)


def _licence(base: Path) -> str:
    """What is made from a model has its licence."""
    try:
        found = json.loads((base / CARD_NAME).read_text(encoding="utf-8"))["licence"]
    except (OSError, ValueError, KeyError):
        return "as the base"
    return str(found)
