"""Makes a small model folder that breaks no rule, without any library that knows models."""

import json
from pathlib import Path
from typing import Any

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "max_position_embeddings": 128,
    "vocab_size": 16,
}
TENSORS = {
    "embed": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
    "norm": {"dtype": "BF16", "shape": [4], "data_offsets": [16, 24]},
}
DATA = bytes(range(24))


def make_folder(folder: Path) -> Path:
    """Makes the folder, with one file of weights."""
    folder.mkdir()
    write_json(folder / "config.json", CONFIG)
    write_json(folder / "tokenizer.json", {"model": {"vocab": {"auto_map": 1, "b": 2}}})
    write_json(folder / "tokenizer_config.json", {"eos_token": "b"})
    (folder / "README.md").write_text("# A model\n")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    write_weights(folder / "model.safetensors", TENSORS, DATA)
    return folder


def shard(folder: Path, weight_map: dict[str, str] | None = None) -> None:
    """Puts the weights of a folder in two files and an index."""
    (folder / "model.safetensors").unlink()
    for number, name in enumerate(("embed", "norm"), start=1):
        tensor = TENSORS[name]
        begin, end = tensor["data_offsets"]
        alone = {name: {**tensor, "data_offsets": [0, end - begin]}}
        path = folder / f"model-{number:05}-of-00002.safetensors"
        write_weights(path, alone, DATA[begin:end])
    found = {
        "embed": "model-00001-of-00002.safetensors",
        "norm": "model-00002-of-00002.safetensors",
    }
    index = {"metadata": {}, "weight_map": found | (weight_map or {})}
    write_json(folder / "model.safetensors.index.json", index)


def write_weights(path: Path, header: Any, data: bytes, length: int | None = None) -> None:
    """Writes a safetensors file; `length` is what it says of its header, by default the truth."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    size = len(text) if length is None else length
    path.write_bytes(size.to_bytes(8, "little") + text + data)


def write_json(path: Path, value: Any) -> None:
    """Writes a file of JSON."""
    path.write_text(json.dumps(value), encoding="utf-8")


def edit_json(path: Path, **changes: Any) -> None:
    """Sets keys of a JSON object in a file; a key that is set to None is taken out."""
    value = json.loads(path.read_text(encoding="utf-8")) | changes
    write_json(path, {key: item for key, item in value.items() if item is not None})
