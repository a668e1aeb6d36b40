"""What is told to the registry of the first model."""

import json

from stack.first_model import evidence


def test_evidence_is_what_the_card_says(tmp_path):
    """Each topic's share is a metric; the dataset is named by its digest."""
    card = {
        "data": {"sha256": "ab" * 32},
        "evaluation": {"overall": {"right": 9, "asked": 10, "share": 0.9}},
    }
    tmp_path.joinpath("model_card.json").write_text(json.dumps(card))
    found = evidence(tmp_path)
    assert dict(found.metrics) == {"eval.overall": 0.9}
    assert found.dataset_digest == "ab" * 32


def test_a_folder_without_a_card_has_no_evidence(tmp_path):
    """It can be imported all the same."""
    assert not evidence(tmp_path).metrics
