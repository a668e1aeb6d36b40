"""Turns a model folder into the form that OpenVINO GenAI serves.

    python -m training.export FOLDER

Knows folders of safetensors weights and a tokenizer, for any causal language model whose code
transformers itself holds; knows nothing of how they came about. Nothing in the folder is run.
"""

import argparse
import ctypes
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from training.priority import give_way
from training.quiet import quiet_libraries
from training.staging import StagingError, staged_folder
from training.trial import UnfitError, try_engine

Precision = Literal["fp32", "int8"]
"""fp32 holds the weights as they are; int8 compresses them, one scale for each row."""

OPENVINO_FOLDER = "openvino"
"""The exported form lives in this folder inside the model's."""

TASK = "text-generation-with-past"

_SHARED = ("tokenizer.json", "tokenizer_config.json")
_TEMPLATE = "chat_template.jinja"
_PR_SET_PDEATHSIG = 1


def export_openvino(model: Path, precision: Precision = "fp32") -> Path:
    """Writes openvino/ inside the model folder and returns it; takes seconds, mostly imports.

    It holds the network, tokenizer and detokenizer as OpenVINO graphs, and the files to read chats.
    """
    target = model / OPENVINO_FOLDER
    target.mkdir()
    _export_into(model, target, precision)
    return target


def export_and_try(model: Path, report: Callable[[float], None] = lambda _: None) -> Path:
    """Writes openvino/, which appears only when the engine has answered with it, and returns it.

    `report` hears the share that is done. What a killed call left behind does not hinder the next
    one. Raises UnfitError or StagingError.
    """
    with staged_folder(model / OPENVINO_FOLDER) as target:
        report(0.05)
        require_supported(model)
        report(0.2)
        _export_into(model, target, "fp32")
        report(0.8)
        try_engine(model, target)
    report(1.0)
    return model / OPENVINO_FOLDER


def require_supported(model: Path) -> None:
    """Raises UnfitError when the architecture is none that both libraries know."""
    import optimum.exporters.openvino  # noqa: F401 (makes the exporter's table of architectures)
    from optimum.exporters.tasks import TasksManager
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    kind = json.loads((model / "config.json").read_text(encoding="utf-8")).get("model_type")
    known = TasksManager.get_supported_model_type_for_task(TASK, "openvino")
    if kind not in known or kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise UnfitError(
            "UNSUPPORTED_ARCHITECTURE",
            f"config.json has the model_type {kind!r}, which cannot be exported for the engine. "
            "Import a causal language model such as llama, gpt2 or qwen2.",
        )


def _export_into(model: Path, target: Path, precision: Precision) -> None:
    _export_network(model, target, precision)
    for name in _SHARED:
        shutil.copyfile(model / name, target / name)
    if (model / _TEMPLATE).exists():
        shutil.copyfile(model / _TEMPLATE, target / _TEMPLATE)
    _export_tokenizer(model, target)


def _export_network(model: Path, target: Path, precision: Precision) -> None:
    import torch
    from optimum.exporters.openvino import export_from_model
    from optimum.intel import OVConfig
    from transformers import AutoModelForCausalLM

    network, loading = AutoModelForCausalLM.from_pretrained(
        model,
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=False,
        # The exporter traces 16-bit weights wrongly or not at all.
        dtype=torch.float32,
        output_loading_info=True,
    )
    # The library would go on with random numbers in their place.
    if missing := sorted(map(str, [*loading["missing_keys"], *loading["mismatched_keys"]])):
        raise UnfitError(
            "WEIGHTS_INCOMPLETE",
            f"The weights lack {len(missing)} tensors that config.json asks for, {missing[0]!r} "
            "among them. Save the whole model.",
        )
    export_from_model(
        network,
        target,
        task=TASK,
        ov_config=OVConfig(dtype="fp32"),
    )
    if precision == "int8":
        _compress(target / "openvino_model.xml")


def _compress(network: Path) -> None:
    import nncf
    import openvino

    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})  # the file that is read is written over
    openvino.save_model(
        nncf.compress_weights(core.read_model(network)), network, compress_to_fp16=False
    )


def _export_tokenizer(model: Path, target: Path) -> None:
    import openvino
    from openvino_tokenizers import convert_tokenizer
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(model, local_files_only=True)
    encoder, decoder = convert_tokenizer(tokenizer, with_detokenizer=True)
    openvino.save_model(encoder, target / "openvino_tokenizer.xml")
    openvino.save_model(decoder, target / "openvino_detokenizer.xml")


def _tell(line: dict[str, Any]) -> None:
    """Writes a line of JSON where the caller reads."""
    print(json.dumps(line), flush=True)


def _keep_stdout() -> None:
    """Leaves standard output to our own lines: what libraries write there goes to the log."""
    sys.stdout = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), 1)


def _live_with(parent: int) -> None:
    """Has the kernel end this process when its parent does, however that dies."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit(1)


def main() -> int:
    """The command line; 0 when the folder is exported, 1 with a line of JSON that says why not."""
    parser = argparse.ArgumentParser(
        prog="python -m training.export", description="Export a model folder for the engine."
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the model folder")
    parser.add_argument(
        "--parent",
        type=int,
        default=0,
        metavar="PID",
        help="end when this process, its parent, does",
    )
    options = parser.parse_args()
    _keep_stdout()
    if options.parent:
        _live_with(options.parent)
        give_way()
    try:
        with quiet_libraries():
            export_and_try(options.folder.absolute(), lambda share: _tell({"fraction": share}))
    except (UnfitError, StagingError) as error:
        _tell({"reason": getattr(error, "reason", "EXPORT_BUSY"), "message": str(error)})
    except OSError as error:
        _tell({"reason": "EXPORT_FAILED", "errno": error.errno, "message": str(error)})
    except Exception as error:
        # The libraries raise of every kind over what a folder may hold.
        words = f"{type(error).__name__}: {error}"
        _tell({"reason": "EXPORT_FAILED", "message": words[:500]})
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
