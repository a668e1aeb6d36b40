"""Turns a model folder into the form that OpenVINO GenAI serves.

Knows folders of safetensors weights and a tokenizer; knows nothing of how they came about.
"""

import shutil
from pathlib import Path
from typing import Literal

Precision = Literal["fp32", "int8"]
"""fp32 keeps the weights as they are; int8 compresses them, one scale for each row."""

OPENVINO_FOLDER = "openvino"
"""The exported form lives in this folder inside the model's."""

_SHARED = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def export_openvino(model: Path, precision: Precision = "fp32") -> Path:
    """Writes openvino/ inside the model folder and returns it; takes seconds, mostly imports.

    It holds the network, tokenizer and detokenizer as OpenVINO graphs, and the files to read chats.
    """
    target = model / OPENVINO_FOLDER
    target.mkdir()
    _export_network(model, target, precision)
    for name in _SHARED:
        shutil.copyfile(model / name, target / name)
    _export_tokenizer(model, target)
    return target


def _export_network(model: Path, target: Path, precision: Precision) -> None:
    from optimum.exporters.openvino import export_from_model
    from optimum.intel import OVConfig
    from transformers import AutoModelForCausalLM

    export_from_model(
        AutoModelForCausalLM.from_pretrained(model, local_files_only=True),
        target,
        task="text-generation-with-past",
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
