"""Makes Parley's starter model: dialogues, tokenizer, training, export, measurement, one folder.

    python -m training.starter OUT

Importing this module is cheap; the heavy libraries load when the work begins.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import chain, islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from training.card import ModelCard, write_card
from training.quiet import quiet_libraries
from training.sizes import STARTER_RECIPE, STARTER_SHAPE, Recipe, Shape
from training.staging import StagingError, staged_folder

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from training.dialogues import Dialogue
    from training.evaluate import Evaluation
    from training.examples import Example
    from training.export import Precision

STARTER_NAME = "parley-starter"

_VOCABULARY_DIALOGUES = 5000
"""Dialogues that the tokenizer learns from; more change its merges little."""

_STAGES = {"words": 0.03, "load": 0.10, "train": 0.85, "export": 0.95, "measure": 1.0}
"""Each stage, and the share of the whole work that is done at its end, by measured time."""


@dataclass(frozen=True)
class Progress:
    """How far the making has come."""

    stage: str
    """words, load, train, export or measure."""
    fraction: float
    """Of the whole work, 0 to 1, never falling."""
    message: str
    """For a person: what is going on."""


Report = Callable[[Progress], None]


@dataclass(frozen=True)
class _Lesson:
    """All that the training loop needs, and what the card says of it."""

    tokenizer: "Tokenizer"
    examples: "list[Example]"
    data: dict[str, Any]


def make_starter_model(
    out: Path,
    *,
    progress: Report,
    seed: int = 0,
    shape: Shape = STARTER_SHAPE,
    recipe: Recipe = STARTER_RECIPE,
    precision: "Precision" = "fp32",
) -> ModelCard:
    """Makes the model folder `out`, whole or not at all, and returns its card.

    Takes less than two minutes on two cores. The same seed gives the same weights on the same kind
    of machine. Raises FolderExistsError or FolderBusyError; an interrupted call can be run again.
    """
    with staged_folder(out) as folder, quiet_libraries():
        began = time.monotonic(), time.process_time()
        _say(progress, "words", 0, "Writing dialogues ...")
        lesson = _prepare(seed, recipe)
        parameters, seconds = _train(folder, lesson, shape, recipe, seed, progress)
        _say(progress, "export", 0, "Exporting for OpenVINO ...")
        _export(folder, precision)
        _say(progress, "measure", 0, "Asking the held-out questions ...")
        result = _measure(folder)
        seconds["wall"] = round(time.monotonic() - began[0], 1)
        seconds["cpu"] = round(time.process_time() - began[1], 1)
        card = ModelCard(
            name=STARTER_NAME,
            description="A very small chat model about Parley, made from scratch on this machine.",
            seed=seed,
            parameters=parameters,
            shape=asdict(shape),
            vocabulary=lesson.tokenizer.get_vocab_size(),
            precision=precision,
            data=lesson.data,
            evaluation=_summary(result),
            seconds=seconds,
        )
        write_card(card, folder)
    _say(progress, "measure", 1, f"{result.topics.share:.1%} of the held-out questions right")
    return card


def _prepare(seed: int, recipe: Recipe) -> _Lesson:
    """Dialogues enough for every step, exercises between them, and a tokenizer made from both."""
    from training import dialogues
    from training.examples import encode_dialogue, encode_exercise
    from training.exercises import TOKENS_A_SUM, sums_in_a_row
    from training.tokenizer import train_tokenizer

    stream = dialogues.training_dialogues(seed)
    first = list(islice(stream, _VOCABULARY_DIALOGUES))
    tokenizer = train_tokenizer(dialogues.texts(first))
    rng = Random(f"exercises {seed}")
    used: list[Dialogue] = []
    examples: list[Example] = []
    tokens = 0
    for dialogue in chain(first, stream):
        used.append(dialogue)
        new = [encode_dialogue(tokenizer, dialogue)]
        if rng.random() < recipe.exercise_share:
            sums = sums_in_a_row(rng, max(2, len(new[0].ids) // TOKENS_A_SUM))
            new.append(encode_exercise(tokenizer, sums))
        examples += new
        tokens += sum(len(example.ids) for example in new)
        if tokens >= recipe.steps * recipe.batch_tokens:
            break
    data = {"dialogues": len(used), "exercises": len(examples) - len(used), "tokens": tokens}
    data |= {"steps": recipe.steps, "sha256": dialogues.digest(used)}
    return _Lesson(tokenizer, examples, data)


def _train(
    folder: Path, lesson: _Lesson, shape: Shape, recipe: Recipe, seed: int, progress: Report
) -> tuple[int, dict[str, float]]:
    """Trains, saves weights and tokenizer; returns the parameter count and the seconds."""
    from training.model import build_model, train
    from training.tokenizer import save_tokenizer

    _say(progress, "load", 0, "Loading PyTorch ...")
    model = build_model(shape, lesson.tokenizer.get_vocab_size(), seed)
    began = time.monotonic(), time.process_time()

    def report(step: int, loss: float) -> None:
        message = f"Training: step {step} of {recipe.steps}, loss {loss:.3f}"
        _say(progress, "train", step / recipe.steps, message)

    train(model, lesson.examples, recipe, seed, report)
    seconds = {
        "training_wall": round(time.monotonic() - began[0], 1),
        "training_cpu": round(time.process_time() - began[1], 1),
    }
    model.save_pretrained(folder)
    save_tokenizer(lesson.tokenizer, folder)
    return model.num_parameters(), seconds


def _export(folder: Path, precision: "Precision") -> None:
    from training.export import export_openvino

    export_openvino(folder, precision)


def _measure(folder: Path) -> "Evaluation":
    from training.dialogues import held_out_dialogues
    from training.evaluate import evaluate

    return evaluate(folder, held_out_dialogues())


def _summary(result: "Evaluation") -> dict[str, Any]:
    scores = {"topics": result.topics, "overall": result.overall, **result.scores}
    return {
        name: {"right": score.right, "asked": score.asked, "share": round(score.share, 4)}
        for name, score in scores.items()
    }


def _say(progress: Report, stage: str, done: float, message: str) -> None:
    """Reports a stage's own fraction as a fraction of the whole."""
    names = list(_STAGES)
    start = _STAGES[names[names.index(stage) - 1]] if stage != names[0] else 0.0
    progress(Progress(stage, start + done * (_STAGES[stage] - start), message))


class _Lines:
    """Prints a line at each new stage and at every whole twentieth."""

    def __init__(self) -> None:
        self._last = ("", -1)

    def __call__(self, progress: Progress) -> None:
        mark = (progress.stage, int(progress.fraction * 20))
        if mark != self._last:
            self._last = mark
            print(f"{progress.fraction:4.0%}  {progress.message}", flush=True)


def main() -> int:
    """The command line; 0 when the model is made, 1 with a reason, 130 when interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m training.starter",
        description="Make the starter model.",
        epilog="example: python -m training.starter models/parley-starter",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="the model folder to make")
    parser.add_argument("--seed", type=int, default=0, help="default 0")
    parser.add_argument("--precision", choices=("fp32", "int8"), default="fp32")
    options = parser.parse_args()
    try:
        card = make_starter_model(
            options.out, progress=_Lines(), seed=options.seed, precision=options.precision
        )
    except StagingError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; nothing was left behind. Run it again at any time.", file=sys.stderr)
        return 130
    for name, score in card.evaluation.items():
        print(f"{name:16} {score['right']:4} of {score['asked']:4}  {score['share']:7.1%}")
    print(f"Made {options.out} in {card.seconds['wall']} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
