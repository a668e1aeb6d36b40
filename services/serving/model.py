"""One model folder: what it is called, how long its context is, how it likes to be sampled.

The folder has the Hugging Face layout with the engine's form below `openvino/`. Only JSON,
safetensors, text and the exported graph are read; nothing in it is run.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.serving.engine import Sampling

VERSION_DIGITS = 12
ENGINE_FOLDER = "openvino"
ENGINE_FILES = (
    "openvino_model.xml",
    "openvino_model.bin",
    "openvino_tokenizer.xml",
    "openvino_detokenizer.xml",
)
CONTEXT_KEYS = ("max_position_embeddings", "n_positions")
# Files that only describe the model. They may change without changing an answer.
UNVERSIONED = {"model_card.json", "README.md"}


@dataclass(frozen=True, slots=True)
class Model:
    """What the replica must know of a model besides its weights."""

    name: str
    digest: str
    folder: Path
    context_tokens_max: int
    vocabulary_size: int
    end_ids: tuple[int, ...]
    sampling: Sampling

    @property
    def version(self) -> str:
        """What the version is called where no registry gives it a number."""
        return self.digest[:VERSION_DIGITS]

    @property
    def engine_folder(self) -> Path:
        """Where the engine's form lies."""
        return self.folder / ENGINE_FOLDER


def read_model(folder: Path, name: str, digest: str = "") -> Model:
    """Reads a model folder; hashes its files, at about 1 GB a second, unless their digest is known.

    Raises FileNotFoundError or ValueError that names what is missing or wrong.
    """
    for file in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        if not (folder / file).is_file():
            raise FileNotFoundError(f"{folder} is not a model folder: {file} is missing")
    for file in ENGINE_FILES:
        if not (folder / ENGINE_FOLDER / file).is_file():
            raise FileNotFoundError(
                f"{folder} has no engine form: {ENGINE_FOLDER}/{file} is missing"
            )
    config = _read_json(folder / "config.json")
    generation_file = folder / "generation_config.json"
    generation = _read_json(generation_file) if generation_file.is_file() else {}
    ends = generation.get("eos_token_id", config.get("eos_token_id"))
    return Model(
        name=name or folder.name,
        digest=digest or _digest(folder),
        folder=folder,
        context_tokens_max=_whole(config, _context_key(config)),
        vocabulary_size=_whole(config, "vocab_size"),
        end_ids=tuple(ends) if isinstance(ends, list) else () if ends is None else (ends,),
        sampling=_default_sampling(generation),
    )


def _default_sampling(generation: dict[str, Any]) -> Sampling:
    """The model's own defaults. A model that says `do_sample: false` is greedy unless asked
    otherwise."""
    greedy = generation.get("do_sample") is False
    return Sampling(
        temperature=0.0 if greedy else float(generation.get("temperature") or 1.0),
        top_p=float(generation.get("top_p") or 1.0),
        top_k=0 if greedy else int(generation.get("top_k") or 0),
        min_p=float(generation.get("min_p") or 0.0),
        repetition_penalty=float(generation.get("repetition_penalty") or 1.0),
    )


def _digest(folder: Path) -> str:
    manifest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in UNVERSIONED:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            manifest.update(f"{digest}  {path.relative_to(folder).as_posix()}\n".encode())
    return manifest.hexdigest()


def _context_key(config: dict[str, Any]) -> str:
    """What the model's family calls its longest context."""
    return next((key for key in CONTEXT_KEYS if key in config), CONTEXT_KEYS[0])


def _whole(config: dict[str, Any], key: str) -> int:
    value = config.get(key)
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"config.json must have {key}, a whole number from 1")
    return value


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
