"""Fine-tuning: prepare >> train >> evaluate >> export >> register >> promote.

Each function does its task once, however often it is called, and returns names and digests for the
next ones. Knows nothing of who schedules them.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from training.data.files import load_rows
from training.lessons import Lessons, plan
from training.tasks import measuring
from training.tasks.bases import bring, resolve_base
from training.tasks.data import bring_dataset, keep_held_out
from training.tasks.registry import ensure_policy, import_folder, open_registry, promote
from training.tasks.task import Json, Task, run
from training.tracking.tracker import Tracker, open_tracker

__all__ = ["evaluate", "export", "prepare", "promote", "register", "train"]

_METHODS = {"": "FULL", "UNSPECIFIED": "FULL", "FULL": "FULL", "LORA": "LORA", "SCRATCH": "SCRATCH"}


def prepare(job: Json) -> Json:
    """Reads, checks, splits and stores the data; finds and fetches the base."""
    return run(job, "prepare", _prepare)


def train(job: Json, prepared: Json) -> Json:
    """Trains the base on what is to be learnt."""
    return run(job, "train", lambda task: _train(task, prepared))


def evaluate(job: Json, prepared: Json, trained: Json) -> Json:
    """Measures what was trained, the champion and the base on what was held out."""
    return run(job, "evaluate", lambda task: _evaluate(task, prepared, trained))


def export(job: Json, prepared: Json, trained: Json, evaluated: Json) -> Json:
    """Makes the folder that is registered: the model, and the card that tells of it."""
    return run(job, "export", lambda task: _export(task, prepared, trained, evaluated))


def register(job: Json, prepared: Json, evaluated: Json, exported: Json) -> Json:
    """Has the registry make a version of it, with its evidence."""
    return run(job, "register", lambda task: _register(task, prepared, evaluated, exported))


def _prepare(task: Task) -> Json:
    registry = open_registry(task)
    task.progress(0.0, "Reading the data")
    path, data = bring_dataset(task, task.conf["dataset"])
    lessons = plan(load_rows(path), bool(task.conf.get("verbatim")))
    digest = keep_held_out(task, lessons.held_out)
    task.progress(0.5, "Fetching the base")
    champion = registry.champion_of(task.conf["model"])
    base = resolve_base(task, registry, champion)
    bring(task, base)
    task.reporter.result(dataset_digest=data["digest"], evaluation_digest=digest)
    task.reporter.line(
        f"{data['rows']} rows ({data['kind']}); {len(lessons.held_out)} held out; "
        f"base {base['name']} version {base['number']}"
    )
    return {
        "dataset": data,
        "evaluation_digest": digest,
        "base": base,
        "champion": champion,
        "is_text": data["kind"] == "text",
    }


def _data(prepared: Json) -> dict[str, str]:
    """The data's digests, which each task tells again: a report of an earlier one may be lost."""
    return {
        "dataset_digest": prepared["dataset"]["digest"],
        "evaluation_digest": prepared["evaluation_digest"],
    }


def _lessons(task: Task, prepared: Json) -> Lessons:
    path, _ = bring_dataset(task, f"sha256:{prepared['dataset']['digest']}")
    return plan(load_rows(path), bool(task.conf.get("verbatim")))


def _train(task: Task, prepared: Json) -> Json:
    from training.tuning.base import is_starter
    from training.tuning.recipe import choose
    from training.tuning.tune import parameters_of

    lessons = _lessons(task, prepared)
    base = bring(task, prepared["base"])
    recipe = choose(
        _method(task.conf.get("method")),
        rows=len(lessons.learnt),
        are_facts=lessons.are_facts,
        parameters=parameters_of(base),
        epochs=int(task.conf.get("epochs") or 0),
        learning_rate=float(task.conf.get("learning_rate") or 0.0),
        seed=int(task.conf.get("seed") or 0),
    )
    with _tracker(task, prepared, asdict(recipe)) as tracker:
        tracker.dataset(prepared["dataset"]["digest"], prepared["dataset"]["uri"], "training")
        folder = _tune(
            task, base, lessons, recipe, tracker, is_starter(base, task.settings.starter)
        )
        runs = {"mlflow_run_id": tracker.mlflow_run(), "wandb_run": tracker.wandb_run()}
    tracker.close()
    task.reporter.result(**runs, **_data(prepared))
    return {"folder": folder.name, **runs}


def _tune(
    task: Task, base: Path, lessons: Lessons, recipe: Any, tracker: Tracker, replays: bool
) -> Path:
    from training.tuning.chats import Chats
    from training.tuning.examples import encode_all
    from training.tuning.tune import tune
    from training.tuning.watch import Step

    out = task.folder / "model"
    task.progress(0.0, "Preparing what is to be learnt")
    examples = encode_all(Chats(base), lessons, recipe, replays)
    task.reporter.line(f"{len(examples)} examples, {recipe}")
    task.progress(0.0, "Loading the libraries")

    def told(step: Step) -> None:
        words = f"Step {step.number} of {step.steps}, loss {step.values['loss']:.3f}"
        task.reporter.progress(step.number / step.steps, words)
        task.reporter.metrics(step.number, step.values)
        tracker.metrics(step.number, step.values)

    tune(
        base,
        examples,
        recipe,
        out=out,
        checkpoints=task.folder / "checkpoints",
        threads=task.settings.threads,
        checkpoint_s=task.settings.checkpoint_s,
        on_step=told,
        is_stopping=task.reporter.is_stopping,
    )
    return out


def _evaluate(task: Task, prepared: Json, trained: Json) -> Json:
    candidate = task.folder / trained["folder"]
    others = measuring.others(task, task.conf["model"], prepared["champion"], prepared["base"])
    with _tracker(task, prepared, {}) as tracker:
        tracker.dataset(prepared["evaluation_digest"], "", "evaluation")
        evaluated = measuring.measure_all(
            task, candidate, others, prepared["evaluation_digest"], tracker
        )
    runs = {"mlflow_run_id": tracker.mlflow_run(), "wandb_run": tracker.wandb_run()}
    tracker.close(has_ended=True)
    task.reporter.result(**runs, **_data(prepared))
    return {**evaluated, **{n: v or trained[n] for n, v in runs.items()}}


def _export(task: Task, prepared: Json, trained: Json, evaluated: Json) -> Json:
    from training.tasks.cards import write_tuned_card
    from training.tuning.base import folder_digest

    folder = task.folder / trained["folder"]
    base = bring(task, prepared["base"])
    write_tuned_card(task, folder, base, prepared, evaluated)
    return {"folder": str(folder), "digest": folder_digest(folder)}


def _register(task: Task, prepared: Json, evaluated: Json, exported: Json) -> Json:
    from parley.registry.v1 import registry_pb2 as pb

    registry = open_registry(task)
    metric, lower = (
        ("eval.perplexity", True) if prepared["is_text"] else ("eval.exact_match", False)
    )
    ensure_policy(task, registry, task.conf["model"], metric, lower)
    evidence = pb.Evidence(
        metrics=evaluated["metrics"],
        dataset_digest=prepared["dataset"]["digest"],
        evaluation_digest=prepared["evaluation_digest"],
        run_id=evaluated["mlflow_run_id"],
        wandb_run=evaluated["wandb_run"],
    )
    request = pb.ImportModelRequest(
        model=task.conf["model"],
        local_folder=exported["folder"],
        evidence=evidence,
        expected_digest=exported["digest"],
        request_id=task.request_id("import"),
    )
    number = import_folder(task, registry, request)
    task.reporter.result(model=task.conf["model"], version=number)
    task.reporter.line(f"{task.conf['model']} version {number} is registered")
    return {"model": task.conf["model"], "number": number, "champion": prepared["champion"]}


def _tracker(task: Task, prepared: Json, recipe: Json) -> Tracker:
    params = {f"recipe.{name}": value for name, value in recipe.items()}
    params |= {"base": f"{prepared['base']['name']}@{prepared['base']['number']}"} if recipe else {}
    return open_tracker(task.settings, task.job["id"], task.conf["model"], params)


def _method(name: Any) -> Any:
    """The method by its name in the contract, short or long, or by its number there."""
    if isinstance(name, int):
        return ("FULL", "FULL", "LORA", "SCRATCH")[name]
    return _METHODS[str(name or "").upper().removeprefix("TRAINING_METHOD_")]
