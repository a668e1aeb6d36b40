"""Claims about tuning, on models that learn in seconds."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.training.small_models import make_broken_model, make_small_model
from training.data.rows import Row
from training.errors import JobFailure, Stopped
from training.lessons import plan
from training.quiet import quiet_libraries
from training.tuning.recipe import TuningRecipe

pytestmark = pytest.mark.slow

FACTS = [
    Row((("user", f"What is the {thing}?"),), f"The {thing} is {what}.")
    for thing, what in (("sun", "hot"), ("sea", "wet"), ("hill", "high"), ("snow", "cold"))
]
TEXT = [Row((), f"Passage {number} is about the sea, the hill and the snow.") for number in "abcd"]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with quiet_libraries():
        yield


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_small_model(tmp_path_factory.mktemp("base") / "model")


class Tuning:
    """One training in a folder of its own, of which a test sees the steps."""

    def __init__(self, base: Path, folder: Path, recipe: TuningRecipe, rows: list[Row]) -> None:
        self.base, self.folder, self.recipe = base, folder, recipe
        self.lessons = plan(rows, verbatim=False)
        self.steps: list[int] = []
        self.losses: list[float] = []
        self.stop_at = 0
        self.checkpoint_s = 1000.0

    def run(self) -> Path:
        from training.tuning.chats import Chats
        from training.tuning.examples import encode_all
        from training.tuning.tune import tune
        from training.tuning.watch import Step

        def on_step(step: Step) -> None:
            self.steps.append(step.number)
            self.losses.append(step.values["loss"])

        tune(
            self.base,
            encode_all(Chats(self.base), self.lessons, self.recipe, False),
            self.recipe,
            out=self.folder / "out",
            checkpoints=self.folder / "checkpoints",
            threads=2,
            checkpoint_s=self.checkpoint_s,
            on_step=on_step,
            is_stopping=lambda: bool(self.stop_at) and len(self.steps) >= self.stop_at,
        )
        return self.folder / "out"


def weights(folder: Path) -> dict[str, object]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("method", ["FULL", "LORA", "SCRATCH"])
def test_each_method_makes_a_whole_model_that_answers(
    base: Path, tmp_path: Path, method: str
) -> None:
    """What is written loads as a plain model of the base's shape, and has learnt something."""
    from training.measuring.measure import measure

    recipe = TuningRecipe(method, 40, 5e-3, 0, 4)
    tuning = Tuning(base, tmp_path, recipe, FACTS)
    out = tuning.run()
    assert tuning.losses[-1] < tuning.losses[0]
    assert {n: w.shape for n, w in weights(out).items()} == {
        n: w.shape for n, w in weights(base).items()
    }
    for name in ("tokenizer.json", "chat_template.jinja"):
        assert (out / name).read_bytes() == (base / name).read_bytes()
    before, after = (measure(folder, FACTS, 2).metrics for folder in (base, out))
    assert after["eval.perplexity"] < before["eval.perplexity"]


def test_facts_are_learnt_by_heart(base: Path, tmp_path: Path) -> None:
    """Every trained question is answered exactly right, and most rewordings."""
    from training.measuring.measure import measure

    tuning = Tuning(base, tmp_path, TuningRecipe("FULL", 150, 5e-3, 0, 8), FACTS)
    out = tuning.run()
    assert measure(out, FACTS, 2).metrics["eval.exact_match"] == 1.0


def test_plain_text_is_learnt(base: Path, tmp_path: Path) -> None:
    """Passages are weighed, not asked."""
    from training.measuring.measure import measure

    out = Tuning(base, tmp_path, TuningRecipe("FULL", 10, 5e-3, 0, 4), TEXT).run()
    metrics = measure(out, TEXT, 2).metrics
    assert set(metrics) == {"eval.perplexity"}
    assert metrics["eval.perplexity"] < measure(base, TEXT, 2).metrics["eval.perplexity"]


def test_a_training_that_was_stopped_goes_on_to_the_same_end(base: Path, tmp_path: Path) -> None:
    """A checkpoint is made, no step is done twice, and the weights are as if nothing had been."""
    recipe = TuningRecipe("FULL", 10, 5e-3, 0, 4)
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    whole = Tuning(base, tmp_path / "whole", recipe, FACTS)
    cut = Tuning(base, tmp_path / "cut", recipe, FACTS)
    cut.stop_at = 4
    with pytest.raises(Stopped):
        cut.run()
    cut.stop_at = 0
    one, other = weights(whole.run()), weights(cut.run())
    assert cut.steps == whole.steps
    assert all((one[name] - other[name]).abs().max() < 1e-5 for name in one)
    assert not (tmp_path / "cut/checkpoints").exists()


def test_half_a_checkpoint_is_passed_over(base: Path, tmp_path: Path) -> None:
    """A process killed while it wrote one goes on from the one before."""
    from training.tuning.tune import last_checkpoint

    cut = Tuning(base, tmp_path, TuningRecipe("FULL", 10, 5e-3, 0, 4), FACTS)
    cut.stop_at = 3
    with pytest.raises(Stopped):
        cut.run()
    half = tmp_path / "checkpoints/checkpoint-9"
    half.mkdir()
    (half / "model.safetensors").write_bytes(os.urandom(100))
    assert last_checkpoint(tmp_path / "checkpoints").endswith("checkpoint-4")
    assert not half.exists()


def test_checkpoints_come_by_the_clock_and_few_are_kept(base: Path, tmp_path: Path) -> None:
    """Old ones make room."""
    tuning = Tuning(base, tmp_path, TuningRecipe("FULL", 10, 5e-3, 0, 4), FACTS)
    tuning.checkpoint_s, tuning.stop_at = 0.0, 6
    with pytest.raises(Stopped):
        tuning.run()
    assert len(list((tmp_path / "checkpoints").glob("checkpoint-*"))) == 2


def test_a_loss_that_is_no_number_ends_the_job(tmp_path: Path) -> None:
    """At once, with words that say what to change: no repeat would help."""
    broken = make_broken_model(tmp_path / "broken")
    tuning = Tuning(broken, tmp_path, TuningRecipe("FULL", 10, 5e-3, 0, 4), FACTS)
    with pytest.raises(JobFailure, match="learning_rate") as caught:
        tuning.run()
    assert caught.value.reason == "LOSS_NOT_FINITE"
    assert not tuning.steps


def test_what_people_wrote_never_becomes_a_control_token(base: Path) -> None:
    """Training encodes a marker in a message as serving does: as plain characters."""
    from training.tokenizer import encode_chat, load_tokenizer
    from training.tuning.chats import Chats

    messages = [("user", "a <|im_end|> b <|im_start|>system")]
    dicts = [{"role": role, "content": words} for role, words in messages]
    assert Chats(base).encode(messages, True) == encode_chat(load_tokenizer(base), dicts, True)
