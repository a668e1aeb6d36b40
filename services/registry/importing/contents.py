"""What is in a model folder's files: what each must be, and what they must say together.

Reads a copy that is ours alone (see `sources`). Nothing in it is run. Knows neither where it came
from nor what becomes of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.registry.importing.json_file import parse_object
from services.registry.importing.names import WEIGHTS, check_plain
from services.registry.importing.refusals import refused, shown
from services.registry.importing.safetensors_file import read_tensor_names
from services.rpc.errors import InvalidArgument

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
_NEEDED = (CONFIG, "tokenizer.json", "tokenizer_config.json")
# What the longest context is called, by the family of the model.
_CONTEXT_KEYS = ("max_position_embeddings", "n_positions")
_ARCHITECTURES = ("ForCausalLM", "LMHeadModel")
_NUMBER_MAX = 1 << 31
_DISGUISES = {
    b"PK\x03\x04": "a zip archive, as torch.save writes",
    b"\x1f\x8b": "a gzip archive",
    b"\x7fELF": "a program",
    b"\x89HDF": "an HDF5 file",
    b"GGUF": "a GGUF file",
    **{b"\x80" + bytes([protocol]): "a pickle" for protocol in range(2, 6)},
}
_MAGIC_BYTES = 9


@dataclass(frozen=True, slots=True)
class Facts:
    """What a version's record says of its network."""

    architecture: str
    context_tokens_max: int


def check_contents(folder: Path, names: Iterable[str]) -> Facts:
    """Holds every file to its kind, and the folder to what serving needs.

    Raises InvalidArgument for the first file that breaks a rule.
    """
    there = set(names)
    for name in sorted(there):
        _check_disguise(folder / name)
    for name in _NEEDED:
        if name not in there:
            words = "is missing. A model folder holds config, tokenizer and weights."
            raise refused("FILE_MISSING", name, words)
    parsed = {name: _check_text(folder / name) for name in sorted(there) if not _is_weights(name)}
    facts = _facts(parsed[CONFIG])
    tensors = {
        name: read_tensor_names(folder / name) for name in sorted(there) if _is_weights(name)
    }
    _check_weights(parsed.get(INDEX), tensors)
    return facts


def _is_weights(name: str) -> bool:
    return name.endswith(WEIGHTS)


def _check_disguise(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(_MAGIC_BYTES)
    if _is_weights(path.name) and head.endswith(b"{"):
        return  # the length of a header may look like anything
    for magic, what in _DISGUISES.items():
        if head.startswith(magic):
            words = f"is {what} under another name. Remove it, or save the model again."
            raise refused("DISGUISED_FILE", path.name, words)


def _check_text(path: Path) -> dict[str, Any]:
    text = path.read_bytes()
    if path.name.endswith(".json"):
        return parse_object(path.name, text)
    try:
        text.decode("utf-8")
    except ValueError:
        raise refused("NOT_TEXT", path.name, "is not UTF-8 text. Remove it.") from None
    if b"\0" in text:
        raise refused("NOT_TEXT", path.name, "is not text: it holds a zero byte. Remove it.")
    return {}


def _facts(config: dict[str, Any]) -> Facts:
    named = config.get("architectures")
    architecture = named[0] if isinstance(named, list) and len(named) == 1 else None
    if not isinstance(architecture, str) or not isinstance(config.get("model_type"), str):
        raise _config("CONFIG_INCOMPLETE", "must have model_type and one name in architectures")
    if not architecture.isidentifier() or not architecture.endswith(_ARCHITECTURES):
        words = f"names {shown(architecture)}, which is no causal language model"
        raise _config("UNSUPPORTED_ARCHITECTURE", words)
    if config.get("is_encoder_decoder"):
        raise _config("UNSUPPORTED_ARCHITECTURE", "has an encoder, which cannot be served")
    key = next((key for key in _CONTEXT_KEYS if key in config), _CONTEXT_KEYS[0])
    for number in (key, "vocab_size"):
        value = config.get(number)
        if type(value) is not int or not 0 < value < _NUMBER_MAX:
            raise _config("CONFIG_INCOMPLETE", f"must have {number}, a whole number from 1")
    return Facts(architecture, config[key])


def _config(reason: str, words: str) -> InvalidArgument:
    return refused(reason, CONFIG, f"{words}. Save the model again with transformers.")


def _check_weights(index: dict[str, Any] | None, tensors: dict[str, set[str]]) -> None:
    if index is None and SINGLE not in tensors:
        words = f"is missing, and {INDEX} too. Save the model's weights as safetensors."
        raise refused("WEIGHTS_MISSING", SINGLE, words)
    if index is None:
        return
    where = index.get("weight_map")
    if not isinstance(where, dict) or not where:
        raise refused("BAD_INDEX", INDEX, "has no weight_map. Save the model again.")
    if SINGLE in tensors:
        words = f"lies beside {INDEX}, so that it is not clear which holds. Remove one of them."
        raise refused("WEIGHTS_AMBIGUOUS", SINGLE, words)
    for tensor, shard in where.items():
        _check_indexed(tensor, shard, tensors)


def _check_indexed(tensor: str, shard: Any, tensors: dict[str, set[str]]) -> None:
    if not isinstance(shard, str):
        raise refused("BAD_INDEX", INDEX, "names a shard by no string. Save the model again.")
    check_plain(shard)
    if shard not in tensors:
        words = f"is named by {INDEX} and is missing. Copy or download it again."
        raise refused("SHARD_MISSING", shard, words)
    if tensor not in tensors[shard]:
        words = f"lacks the tensor {shown(tensor)}, which {INDEX} puts there. Save the model again."
        raise refused("BAD_INDEX", shard, words)
