"""Claims about what is looked at before the engine is asked."""

import json
from pathlib import Path

import pytest

from training.trial import UnfitError, try_engine


def test_a_tokenizer_of_another_model_is_found(tmp_path: Path):
    """An id that the network lacks would end the engine in the middle of somebody's answer."""
    (tmp_path / "config.json").write_text(json.dumps({"vocab_size": 3}))
    vocabulary = {"a": 0, "b": 1, "c": 3}
    model = {"type": "WordLevel", "vocab": vocabulary, "unk_token": "a"}
    (tmp_path / "tokenizer.json").write_text(json.dumps({"version": "1.0", "model": model}))
    with pytest.raises(UnfitError, match=r"up to 3.*vocab_size of 3") as found:
        try_engine(tmp_path, tmp_path / "openvino")
    assert found.value.reason == "VOCABULARY_DIFFERS"
