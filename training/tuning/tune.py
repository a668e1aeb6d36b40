"""Trains a model folder on examples, with checkpoints, and writes the new folder.

A call that was killed goes on from its last checkpoint when it is made again. Knows token ids;
knows nothing of where base and data come from, or of who asked.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.errors import Stopped
from training.staging import staged_folder
from training.tuning.examples import Encoded
from training.tuning.recipe import TuningRecipe

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from trl import SFTTrainer

    from training.tuning.watch import Step

_STATE_FILE = "trainer_state.json"
_KEPT = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json")
_LOGGED_STEPS_MAX = 1000
_LORA = {"r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "target_modules": "all-linear"}


def tune(
    base: Path,
    examples: Sequence[Encoded],
    recipe: TuningRecipe,
    *,
    out: Path,
    checkpoints: Path,
    threads: int,
    checkpoint_s: float,
    on_step: "Callable[[Step], None]",
    is_stopping: Callable[[], bool],
) -> None:
    """Makes the folder `out`, whole or not at all, unless it is there.

    Raises JobFailure when the loss is no number, Stopped when `is_stopping` said so: a checkpoint
    was made then.
    """
    if out.exists():
        return
    import torch

    from training.tuning.watch import StepWatch

    torch.set_num_threads(threads)
    watch = StepWatch(on_step, is_stopping, checkpoint_s)
    trainer = _trainer(base, examples, recipe, checkpoints, watch)
    trainer.train(resume_from_checkpoint=last_checkpoint(checkpoints))
    if watch.was_stopped:
        raise Stopped("told to end; a checkpoint was made")
    with staged_folder(out) as folder:
        _save(trainer.model, base, folder)
    shutil.rmtree(checkpoints, ignore_errors=True)


def last_checkpoint(checkpoints: Path) -> str | None:
    """The newest checkpoint that is whole: its state is written last."""
    found = []
    for folder in checkpoints.glob("checkpoint-*"):
        try:
            found.append((json.loads((folder / _STATE_FILE).read_text())["global_step"], folder))
        except (OSError, ValueError, KeyError):
            shutil.rmtree(folder, ignore_errors=True)  # It was being written when it was killed.
    return str(max(found)[1]) if found else None


def parameters_of(base: Path) -> int:
    """How many numbers a folder's weights have, from the headers of its files."""
    from safetensors import safe_open

    total = 0
    for path in base.glob("*.safetensors"):
        with safe_open(path, "pt") as weights:
            for name in weights.keys():  # noqa: SIM118 (not a mapping)
                size = 1
                for part in weights.get_slice(name).get_shape():
                    size *= part
                total += size
    return total


def _network(base: Path, recipe: TuningRecipe) -> "PreTrainedModel":
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(recipe.seed)
    if recipe.method == "SCRATCH":
        config = AutoConfig.from_pretrained(base, local_files_only=True)
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    network: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        base,
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=False,
        dtype=torch.float32,
    )
    return network


def _trainer(
    base: Path,
    examples: Sequence[Encoded],
    recipe: TuningRecipe,
    checkpoints: Path,
    watch: Any,
) -> "SFTTrainer":
    import datasets
    from peft import LoraConfig
    from transformers import PreTrainedTokenizerFast
    from transformers.trainer_callback import PrinterCallback

    from training.tuning.trainer import AnswerTrainer

    datasets.disable_progress_bars()
    columns = {
        "input_ids": [example.ids for example in examples],
        "labels": [
            [token if learnt else -100 for token, learnt in zip(e.ids, e.mask, strict=True)]
            for e in examples
        ],
    }
    network = _network(base, recipe)
    trainer = AnswerTrainer(
        watch,
        model=network,
        optimizers=(_optimizer(network, recipe), None),
        args=_arguments(recipe, len(examples), checkpoints),
        train_dataset=datasets.Dataset.from_dict(columns),
        processing_class=PreTrainedTokenizerFast.from_pretrained(base, local_files_only=True),
        peft_config=LoraConfig(task_type="CAUSAL_LM", **_LORA) if recipe.method == "LORA" else None,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _optimizer(network: "PreTrainedModel", recipe: TuningRecipe) -> Any:
    """AdamW with a rate of its own for embeddings; none where the library's own will do."""
    import torch

    if recipe.method == "LORA":
        return None
    known = {id(p) for p in network.get_input_embeddings().parameters()}
    groups = [
        {"params": [p for p in network.parameters() if id(p) not in known]},
        {
            "params": [p for p in network.parameters() if id(p) in known],
            "lr": recipe.learning_rate * recipe.embedding_factor,
        },
    ]
    return torch.optim.AdamW(groups, recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.0)


def _arguments(recipe: TuningRecipe, examples: int, checkpoints: Path) -> Any:
    from trl import SFTConfig

    steps = -(-examples // recipe.batch_rows)
    return SFTConfig(
        output_dir=str(checkpoints),
        max_steps=steps,
        per_device_train_batch_size=recipe.batch_rows,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=max(1, min(10, steps // 10)),
        weight_decay=0.0,
        adam_beta2=0.98,
        optim="adamw_torch",
        seed=recipe.seed,
        # The examples come in the order that they shall be learnt in.
        train_sampling_strategy="sequential",
        max_length=None,
        # Every loss is looked at; zeros in place of what is no number would hide it.
        logging_steps=max(1, steps // _LOGGED_STEPS_MAX),
        logging_nan_inf_filter=False,
        save_strategy="no",  # by the clock: see StepWatch
        save_total_limit=2,
        report_to=[],
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )


def _save(network: Any, base: Path, folder: Path) -> None:
    """Weights and configuration of the new model, and the base's tokenizer as it was."""
    if hasattr(network, "merge_and_unload"):
        network = network.merge_and_unload()
    network.save_pretrained(folder, safe_serialization=True)
    for name in _KEPT:
        if (base / name).exists():
            shutil.copyfile(base / name, folder / name)
