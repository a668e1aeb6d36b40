"""Claims about the model card."""

from dataclasses import replace
from pathlib import Path

from training.card import ModelCard, read_card, write_card

CARD = ModelCard("a-model", "For a test.", 1, 2, {"layers": 1}, 3, "fp32")


def test_a_card_reads_back_as_it_was_written(tmp_path: Path) -> None:
    """Evidence, time and licence survive the file."""
    card = replace(CARD, evaluation={"topics": {"right": 1, "asked": 2, "share": 0.5}})
    write_card(card, tmp_path)
    assert read_card(tmp_path) == card


def test_a_card_names_licence_and_time() -> None:
    """Every card says under which licence the model stands, and when it was made, in UTC."""
    assert CARD.licence == "Apache-2.0"
    assert CARD.created.endswith("+00:00")
