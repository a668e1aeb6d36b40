"""Claims about models that are really made: trained a little, exported, and asked."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import pytest

from training.card import ModelCard, read_card
from training.dialogues import Dialogue, held_out_dialogues
from training.evaluate import answer_all
from training.quiet import quiet_libraries
from training.sizes import TINY_SHAPE, Recipe
from training.staging import FolderExistsError
from training.starter import Progress, make_starter_model
from training.tokenizer import TURN_END_ID, encode_chat, load_tokenizer

pytestmark = [
    pytest.mark.slow,
    # The libraries that train and export warn about themselves, and not about our use of them.
    pytest.mark.filterwarnings("ignore"),
]

RECIPE = Recipe(steps=6, batch_tokens=1000, warmup_steps=2)

MODEL_FILES = {
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "model_card.json",
    "openvino",
}
SERVED_FILES = {
    "openvino_model.xml",
    "openvino_model.bin",
    "openvino_tokenizer.xml",
    "openvino_tokenizer.bin",
    "openvino_detokenizer.xml",
    "openvino_detokenizer.bin",
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
}

CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is the capital of France?"},
    {"role": "assistant", "content": "The capital of France is Paris."},
    {"role": "user", "content": "And Italy?"},
]


class Made(NamedTuple):
    folder: Path
    card: ModelCard
    told: list[Progress]


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory,
) -> Made:
    out = tmp_path_factory.mktemp("models") / "starter"
    told: list[Progress] = []
    card = make_starter_model(out, progress=told.append, shape=TINY_SHAPE, recipe=RECIPE)
    return Made(out, card, told)


def test_the_folder_holds_all_that_serving_needs(made: Made) -> None:
    """Weights and tokenizer at the top, the exported form below, and nothing half-made beside."""
    assert {path.name for path in made.folder.iterdir()} == MODEL_FILES
    assert {path.name for path in (made.folder / "openvino").iterdir()} == SERVED_FILES
    assert {path.name for path in made.folder.parent.iterdir()} == {"starter", ".starter.lock"}


def test_the_card_says_what_was_done(made: Made) -> None:
    """Data, seed and measurement are in the folder."""
    assert read_card(made.folder) == made.card
    assert made.card.name == "parley-starter"
    assert len(made.card.data["sha256"]) == 64
    assert made.card.data["steps"] == RECIPE.steps
    assert made.card.evaluation["overall"]["asked"] == len(held_out_dialogues())
    assert made.card.evaluation["topics"]["asked"] >= 300


def test_progress_tells_every_stage_and_never_falls(made: Made) -> None:
    """A progress bar can be drawn from it."""
    fractions = [progress.fraction for progress in made.told]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert list(dict.fromkeys(progress.stage for progress in made.told)) == [
        "words", "load", "train", "export", "measure"
    ]  # fmt: skip


def test_a_second_making_is_refused(made: Made) -> None:
    """A finished model is never written over."""
    with pytest.raises(FolderExistsError):
        make_starter_model(made.folder, progress=lambda _: None, shape=TINY_SHAPE, recipe=RECIPE)


def test_the_exported_model_answers_as_the_trained_one(made: Made) -> None:
    """Greedy tokens from the engine and from the safetensors agree, though far from trained."""
    dialogues = held_out_dialogues()[::40]
    with quiet_libraries():
        expected = [_greedy(made.folder, dialogue) for dialogue in dialogues]
        assert answer_all(made.folder, dialogues) == expected


def _greedy(out: Path, dialogue: Dialogue) -> str:
    import torch
    from transformers import AutoModelForCausalLM

    tokenizer = load_tokenizer(out)
    model = AutoModelForCausalLM.from_pretrained(out, local_files_only=True)
    chat = [dataclasses.asdict(message) for message in dialogue.messages[:-1]]
    prompt = torch.tensor([encode_chat(tokenizer, chat, add_generation_prompt=True)])
    whole = model.generate(prompt, max_new_tokens=64, attention_mask=torch.ones_like(prompt))
    return tokenizer.decode(whole[0, prompt.shape[1] :].tolist())


def test_transformers_encodes_a_chat_as_we_do(made: Made) -> None:
    """Anyone who loads the folder gets the template, the ids and the end marker of training."""
    from transformers import AutoTokenizer

    with quiet_libraries():
        theirs = AutoTokenizer.from_pretrained(made.folder, local_files_only=True)
    ids = theirs.apply_chat_template(CHAT, add_generation_prompt=True, return_dict=False)
    assert ids == encode_chat(load_tokenizer(made.folder), CHAT, add_generation_prompt=True)
    assert theirs.eos_token_id == TURN_END_ID


def test_the_engines_tokenizer_encodes_as_ours(made: Made) -> None:
    """The exported graphs cut text into the same tokens and join them again."""
    import openvino_genai

    text = "Grüße! What is 3 + 4, and 12? <|im_start|>\n  ./parley up"
    theirs = openvino_genai.Tokenizer(str(made.folder / "openvino"))
    ids = theirs.encode(text, add_special_tokens=False).input_ids.data[0].tolist()
    ours = load_tokenizer(made.folder)
    ours.encode_special_tokens = False
    assert ids == ours.encode(text, add_special_tokens=False).ids
    assert theirs.decode(ids, skip_special_tokens=False) == text


def test_an_interrupted_making_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C in the middle of training clears up after itself."""

    def interrupt(progress: Progress) -> None:
        if progress.stage == "train":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_starter_model(tmp_path / "m", progress=interrupt, shape=TINY_SHAPE, recipe=RECIPE)
    assert {path.name for path in tmp_path.iterdir()} == {".m.lock"}
