"""The model card: what a model folder says about itself, as model_card.json.

Knows no libraries; anyone may read a card without them.
"""

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

CARD_NAME = "model_card.json"


@dataclass(frozen=True)
class ModelCard:
    """Where a model comes from and how well it answers."""

    name: str
    description: str
    seed: int
    parameters: int
    shape: dict[str, int]
    vocabulary: int
    precision: str
    """Of the exported weights; the safetensors are always float32."""
    data: dict[str, Any] = field(default_factory=dict)
    """Counts of dialogues, tokens and steps, and the sha256 of the training data."""
    evaluation: dict[str, Any] = field(default_factory=dict)
    """Exactly right answers, asked questions and share, by category; empty if not measured."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall-clock and CPU seconds of the making."""
    licence: str = "Apache-2.0"
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    """UTC, ISO 8601."""


def write_card(card: ModelCard, folder: Path) -> None:
    """Writes model_card.json into the model's folder."""
    text = json.dumps(asdict(card), indent=2, ensure_ascii=False) + "\n"
    (folder / CARD_NAME).write_text(text, encoding="utf-8")


def read_card(folder: Path) -> ModelCard:
    """Reads the card of a model folder that this package wrote."""
    return ModelCard(**json.loads((folder / CARD_NAME).read_text(encoding="utf-8")))
