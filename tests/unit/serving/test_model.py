"""Reading a model folder."""

import json

import pytest

from services.serving.engine import Sampling
from services.serving.model import ENGINE_FILES, ENGINE_FOLDER, read_model
from tests.fakes.model import CONTEXT_TOKENS_MAX, make_tokenizer, write_model

NEEDED = [
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    *(f"{ENGINE_FOLDER}/{file}" for file in ENGINE_FILES),
]


@pytest.fixture
def own(tmp_path):
    """A model folder that the test may change."""
    return write_model(tmp_path / "own")


def version(folder) -> str:
    """The folder's version now."""
    return read_model(folder, "").version


@pytest.mark.parametrize("file", NEEDED)
def test_a_missing_file_is_named(own, file):
    """Whoever set it up wrongly reads what to add."""
    (own / file).unlink()
    with pytest.raises(FileNotFoundError, match=file):
        read_model(own, "")


@pytest.mark.parametrize("file", ["config.json", "generation_config.json"])
def test_a_file_that_is_not_json_is_named(own, file):
    """The same for one that cannot be read."""
    (own / file).write_text("{")
    with pytest.raises(ValueError, match=file):
        read_model(own, "")


@pytest.mark.parametrize("key", ["max_position_embeddings", "vocab_size"])
def test_a_missing_figure_is_named(own, key):
    """And for a configuration that lacks what we need."""
    config = json.loads((own / "config.json").read_text())
    del config[key]
    (own / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=key):
        read_model(own, "")


def test_the_name_is_the_folders_unless_given(own):
    """A folder names its model."""
    assert read_model(own, "").name == "own"
    assert read_model(own, "other").name == "other"


def test_what_the_folder_says_is_read(own):
    """Context, vocabulary and ends come from its files."""
    model = read_model(own, "")
    tokenizer = make_tokenizer()
    assert model.context_tokens_max == CONTEXT_TOKENS_MAX
    assert model.vocabulary_size == tokenizer.get_vocab_size()
    ends = tuple(map(tokenizer.token_to_id, ("<|im_end|>", "<|endoftext|>")))
    assert model.end_ids == ends


@pytest.mark.parametrize("file", [*NEEDED[3:], "generation_config.json"])
def test_one_changed_byte_is_another_version(own, file):
    """Whatever changes an answer changes the version."""
    before = version(own)
    changed = (own / file).read_bytes() + b" "
    (own / file).write_bytes(changed)
    assert version(own) != before


def test_a_renamed_file_is_another_version(own):
    """The manifest holds names."""
    before = version(own)
    (own / "generation_config.json").rename(own / "other.json")
    assert version(own) != before


def test_words_about_the_model_do_not_change_its_version(own):
    """The card and the README may be mended."""
    before = version(own)
    (own / "model_card.json").write_text("{}")
    (own / "README.md").write_text("words")
    assert version(own) == before
    assert len(before) == 12
    assert int(before, 16) >= 0


def test_the_version_does_not_depend_on_the_place(own, tmp_path):
    """The same files elsewhere are the same version."""
    assert version(write_model(tmp_path / "elsewhere")) == version(own)


def test_a_model_that_does_not_sample_is_greedy(tmp_path):
    """`do_sample: false` makes temperature 0 the default, whatever else it says."""
    folder = write_model(tmp_path / "m", do_sample=False, temperature=0.7, top_k=50)
    assert read_model(folder, "").sampling == Sampling(temperature=0.0, top_k=0)


def test_the_models_own_sampling_is_the_default(tmp_path):
    """What generation_config.json says."""
    folder = write_model(tmp_path / "m", do_sample=True, temperature=0.7, top_p=0.8, top_k=20)
    assert read_model(folder, "").sampling == Sampling(temperature=0.7, top_p=0.8, top_k=20)


def test_without_word_of_sampling_the_contracts_defaults_hold(own):
    """Temperature 1 and nothing cut off."""
    (own / "generation_config.json").unlink()
    assert read_model(own, "").sampling == Sampling()
