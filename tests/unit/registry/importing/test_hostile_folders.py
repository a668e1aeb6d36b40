"""Claims about folders that must not come in: each is the good one but for one thing."""

import json
import os
import pickle
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from services.registry.importing.contents import check_contents
from services.registry.importing.folder import Limits
from services.registry.importing.manifest import hash_folder
from services.registry.importing.sources import LocalSource
from services.rpc.errors import InvalidArgument
from tests.unit.registry.importing.folders import (
    DATA,
    TENSORS,
    edit_json,
    make_folder,
    shard,
    write_weights,
)

LIMITS = Limits(files_max=12, text_bytes_max=10_000, folder_bytes_max=50_000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "model")


async def take(folder: Path) -> list[str]:
    """Copies and checks the folder as an import does; returns the names of what came in."""
    into = folder.parent / "copy"
    into.mkdir()
    await LocalSource([folder.parent], LIMITS).fetch(str(folder), into, lambda _: None)
    names = [line.path for line in hash_folder(into).lines]
    check_contents(into, names)
    return names


async def test_the_good_folder_comes_in(folder: Path):
    """All else in this file is refused for the one thing that differs."""
    assert len(await take(folder)) == 6


async def test_a_good_folder_in_shards_comes_in(folder: Path):
    """An index and its shards are as good as one file."""
    shard(folder)
    assert len(await take(folder)) == 8


async def test_hidden_entries_and_the_engines_form_stay_outside(folder: Path):
    """What .git holds is not the model; the engine's form is made anew."""
    for name in (".git", "openvino"):
        (folder / name).mkdir()
        (folder / name / "hook.py").write_text("print()")
    (folder / ".gitattributes").symlink_to("/etc/passwd")
    assert len(await take(folder)) == 6


def _weights(header: object, data: bytes = DATA, length: int | None = None) -> Callable:
    return lambda folder: write_weights(folder / "model.safetensors", header, data, length)


def _tensor(**changes: object) -> Callable:
    return _weights({**TENSORS, "norm": {**TENSORS["norm"], **changes}})


def _file(name: str, content: bytes = b"{}") -> Callable:
    return lambda folder: (folder / name).write_bytes(content)


def _config(**changes: object) -> Callable:
    return lambda folder: edit_json(folder / "config.json", **changes)


def _without(name: str) -> Callable:
    return lambda folder: (folder / name).unlink()


def _cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def _cut_shard(folder: Path) -> None:
    shard(folder)
    path = folder / "model-00002-of-00002.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def _link_out(folder: Path) -> None:
    (folder.parent / "secret.json").write_text("{}")
    (folder / "generation_config.json").symlink_to("../secret.json")


def _link_hard(folder: Path) -> None:
    (folder.parent / "secret.json").write_text("{}")
    (folder / "generation_config.json").hardlink_to(folder.parent / "secret.json")


def _socket(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # a socket's path must be short
        one.bind("vocab.json")


def _missing_shard(folder: Path) -> None:
    shard(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()


def _many(folder: Path) -> None:
    for number in range(7):
        (folder / f"{number}.json").write_text("{}")


class Payload:
    """What a hostile pickle would do when it is opened."""

    def __reduce__(self):
        return os.mkdir, ("/tmp/parley-canary",)


HOSTILE = {
    "a pickle": ("PICKLE_FILE", _file("pytorch_model.bin")),
    "a pickle in capitals": ("PICKLE_FILE", _file("X.PKL")),
    "a checkpoint": ("PICKLE_FILE", _file("optimizer.pt")),
    "program code": ("CODE_FILE", _file("modeling_llama.py")),
    "a library": ("CODE_FILE", _file("kernel.so")),
    "an unknown kind": ("FILE_NOT_ALLOWED", _file("model.gguf")),
    "no kind": ("FILE_NOT_ALLOWED", _file("weights")),
    "an adapter": ("ADAPTER_NOT_MERGED", _file("adapter_config.json")),
    "auto_map": ("CODE_IN_CONFIG", _config(auto_map={"AutoConfig": "x.Y"})),
    "auto_map deep down": ("CODE_IN_CONFIG", _config(a=[{"b": {"auto_map": "x.Y"}}])),
    "custom_code": ("CODE_IN_CONFIG", _config(custom_code=True)),
    "trust_remote_code": ("CODE_IN_CONFIG", _config(trust_remote_code=True)),
    "auto_map in the tokenizer": (
        "CODE_IN_CONFIG",
        lambda folder: edit_json(folder / "tokenizer_config.json", auto_map={"a": ["b", "c"]}),
    ),
    "a key twice": ("INVALID_JSON", _file("config.json", b'{"vocab_size": 1, "vocab_size": 2}')),
    "JSON of nothing but depth": ("INVALID_JSON", _file("config.json", b"[" * 9000)),
    "no JSON": ("INVALID_JSON", _file("config.json", b"{")),
    "JSON in another encoding": ("INVALID_JSON", _file("config.json", '{"é":1}'.encode("latin-1"))),
    "a list for a config": ("INVALID_JSON", _file("config.json", b"[]")),
    "a link out": ("SYMLINK", _link_out),
    "a link inside": ("SYMLINK", lambda folder: (folder / "a.json").symlink_to("config.json")),
    "a hard link": ("HARD_LINK", _link_hard),
    "a pipe": ("SPECIAL_FILE", lambda folder: os.mkfifo(folder / "vocab.json")),
    "a socket": ("SPECIAL_FILE", _socket),
    "a folder": ("SUBFOLDER", lambda folder: (folder / "onnx").mkdir()),
    "a backslash": ("NAME_ESCAPES", _file("..\\x.json")),
    "an escaped dot": ("NAME_ESCAPES", _file("%2E%2e.json")),
    "a long name": ("NAME_TOO_LONG", _file("a" * 200 + ".json")),
    "a name that is no UTF-8": ("NAME_INVALID", _file(os.fsdecode(b"\xff.json"))),
    "a name with overlong UTF-8": ("NAME_ESCAPES", _file(os.fsdecode(b"..\xc0\xaf\\x.json"))),
    "a name with a newline": ("NAME_INVALID", _file("a\n.json")),
    "a name that only looks Latin": ("NAME_INVALID", _file("сonfig.json")),
    "names that differ in case": ("NAME_COLLIDES", _file("Config.json")),
    "a huge header": ("HEADER_TOO_LARGE", _weights(TENSORS, length=100_000_001)),
    "an absurd header": ("HEADER_TOO_LARGE", _weights(TENSORS, length=(1 << 64) - 1)),
    "a header longer than the file": ("TRUNCATED_WEIGHTS", _weights(TENSORS, length=90_000_000)),
    "a file of no bytes": ("TRUNCATED_WEIGHTS", _file("model.safetensors", b"")),
    "a file cut short": ("TRUNCATED_WEIGHTS", _cut),
    "a shard cut short": ("TRUNCATED_WEIGHTS", _cut_shard),
    "bytes behind the tensors": ("BAD_SAFETENSORS", _weights(TENSORS, DATA + b"PK")),
    "a header that is no object": ("BAD_SAFETENSORS", _weights(b"[]")),
    "a header with a key twice": ("BAD_SAFETENSORS", _weights(b'{"a":{},"a":{}}')),
    "a tensor outside": ("TRUNCATED_WEIGHTS", _tensor(shape=[40], data_offsets=[16, 96])),
    "tensors that overlap": ("BAD_SAFETENSORS", _tensor(data_offsets=[8, 16])),
    "a gap between tensors": ("BAD_SAFETENSORS", _tensor(shape=[2], data_offsets=[20, 24])),
    "a place before the file": ("BAD_SAFETENSORS", _tensor(data_offsets=[-8, 0])),
    "an end before the beginning": ("BAD_SAFETENSORS", _tensor(data_offsets=[24, 16])),
    "a shape that does not fit": ("BAD_SAFETENSORS", _tensor(shape=[5])),
    "a shape without end": ("BAD_SAFETENSORS", _tensor(shape=[1 << 62] * 17)),
    "a type that is none": ("BAD_SAFETENSORS", _tensor(dtype="OBJECT")),
    "metadata that are none": ("BAD_SAFETENSORS", _weights({**TENSORS, "__metadata__": "x"})),
    "a pickle for weights": (
        "DISGUISED_FILE", _file("model.safetensors", pickle.dumps(Payload())),
    ),
    "an archive for weights": ("DISGUISED_FILE", _file("model.safetensors", b"PK\x03\x04" * 9)),
    "a pickle for text": ("DISGUISED_FILE", _file("merges.txt", pickle.dumps(Payload()))),
    "bytes for text": ("NOT_TEXT", _file("merges.txt", b"\xff\xfe")),
    "a zero byte in text": ("NOT_TEXT", _file("merges.txt", b"a\0b")),
    "a shard that is missing": ("SHARD_MISSING", _missing_shard),
    "a shard outside": ("NAME_ESCAPES", lambda folder: shard(folder, {"x": "../y.safetensors"})),
    "a shard by its path": ("NAME_ESCAPES", lambda folder: shard(folder, {"x": "/y.safetensors"})),
    "a shard by a number": ("BAD_INDEX", lambda folder: shard(folder, {"x": 7})),
    "a tensor that is in no shard": (
        "BAD_INDEX", lambda folder: shard(folder, {"x": "model-00001-of-00002.safetensors"}),
    ),
    "an index beside a single file": (
        "WEIGHTS_AMBIGUOUS", _file("model.safetensors.index.json", b'{"weight_map": {"a": "b"}}'),
    ),
    "an index without a map": ("BAD_INDEX", _file("model.safetensors.index.json")),
    "no config": ("FILE_MISSING", _without("config.json")),
    "no tokenizer": ("FILE_MISSING", _without("tokenizer.json")),
    "no tokenizer config": ("FILE_MISSING", _without("tokenizer_config.json")),
    "no weights": ("WEIGHTS_MISSING", _without("model.safetensors")),
    "weights of no model": (
        "WEIGHTS_MISSING", lambda f: (f / "model.safetensors").rename(f / "rest.safetensors"),
    ),
    "no vocabulary size": ("CONFIG_INCOMPLETE", _config(vocab_size=None)),
    "a vocabulary size of true": ("CONFIG_INCOMPLETE", _config(vocab_size=True)),
    "no context length": ("CONFIG_INCOMPLETE", _config(max_position_embeddings=None)),
    "a context length of none": ("CONFIG_INCOMPLETE", _config(max_position_embeddings=0)),
    "no architecture": ("CONFIG_INCOMPLETE", _config(architectures=None)),
    "a model that classifies": (
        "UNSUPPORTED_ARCHITECTURE", _config(architectures=["BertForSequenceClassification"]),
    ),
    "a model that encodes": ("UNSUPPORTED_ARCHITECTURE", _config(is_encoder_decoder=True)),
    "too many files": ("TOO_MANY_FILES", _many),
    "a text too large": ("FILE_TOO_LARGE", _file("vocab.json", b" " * 10_001)),
    "too much of all": ("FOLDER_TOO_LARGE", _file("more.safetensors", b" " * 50_000)),
}  # fmt: skip


@pytest.mark.parametrize(("reason", "change"), HOSTILE.values(), ids=HOSTILE)
async def test_a_folder_is_refused_for_one_thing(folder: Path, reason: str, change: Callable):
    """Whatever is wrong is refused by its name, before anything reads further."""
    change(folder)
    with pytest.raises(InvalidArgument) as refusal:
        await take(folder)
    assert refusal.value.reason == reason
    assert refusal.value.message.isprintable()
    assert refusal.value.message.isascii()


async def test_a_refusal_names_the_file_and_what_to_do(folder: Path):
    """Who imports knows which file it is about, and how to mend it."""
    _file("pytorch_model.bin")(folder)
    with pytest.raises(InvalidArgument, match=r"^pytorch_model\.bin .*safetensors"):
        await take(folder)


async def test_a_header_may_look_like_a_pickle(folder: Path):
    """A header of 640 bytes begins with the two bytes that pickles begin with."""
    header = {"__metadata__": {"pad": ""}, **TENSORS}
    missing = 640 - len(json.dumps(header))
    _weights({**header, "__metadata__": {"pad": " " * missing}})(folder)
    assert (folder / "model.safetensors").read_bytes()[:2] == b"\x80\x02"
    await take(folder)
