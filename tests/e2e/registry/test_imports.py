"""Model folders from elsewhere become versions that answer, or are refused by name."""

import json
from pathlib import Path

import pytest
from parley.registry.v1 import registry_pb2 as pb

from tests.integration.registry.shapes import TEMPLATE, make_shape

from .product import FRANCE, Product

VISITOR = "visitor"

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def qwen2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen2 of random weights as transformers saves it: bfloat16, with a chat template."""
    return make_shape("qwen2", tmp_path_factory.mktemp("shapes") / "qwen2", TEMPLATE)


def test_a_folder_of_transformers_is_imported_promoted_and_answers(product: Product, qwen2: Path):
    """By the command line alone; the SDK reaches it by name, alias and number."""
    imported = product.parley("models", "import", VISITOR, qwen2, "--metric", "accuracy=0.25")
    assert (imported.returncode, imported.stdout) == (0, f"{VISITOR}@1\n"), imported.stderr
    promoted = product.parley("models", "promote", f"{VISITOR}@1", "--reason", "the first one")
    assert promoted.returncode == 0, promoted.stderr
    version = product.version(VISITOR, "champion")
    assert (version.architecture, version.created_by) == ("Qwen2ForCausalLM", "api")
    with product.sdk() as client:
        answers = [
            client.chat.completions.create(model=name, messages=FRANCE, max_tokens=8, temperature=0)
            for name in (VISITOR, f"{VISITOR}@champion", f"{VISITOR}@1")
        ]
    assert len({answer.choices[0].message.content for answer in answers}) == 1
    assert {answer.system_fingerprint for answer in answers} == {f"fp_{version.digest[:12]}"}


def test_the_same_folder_again_is_the_same_version(product: Product, qwen2: Path):
    """Files that are known, for the same run, are not a new version."""
    first = product.version(VISITOR, "1")
    again = product.import_folder(VISITOR, qwen2, metrics={"accuracy": 0.25})
    assert (again.state, again.number) == (pb.IMPORT_STATE_DONE, 1), again.message
    assert product.version(VISITOR, "1") == first


def _add_pickle(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02.")


def _add_code(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "modeling.Model"}
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("spoil", "reason", "words"),
    [
        (_add_pickle, "PICKLE_FILE", "pytorch_model.bin"),
        (_add_code, "CODE_IN_CONFIG", "auto_map"),
    ],
)
def test_what_could_run_code_is_refused_by_name(
    product: Product, qwen2: Path, tmp_path: Path, spoil, reason: str, words: str
):
    """To programs by its reason, to people by the file or the field, and nothing is registered."""
    folder = tmp_path / "model"
    folder.mkdir()
    for path in qwen2.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    spoil(folder)
    failed = product.import_folder("refused", folder)
    assert (failed.state, failed.reason) == (pb.IMPORT_STATE_FAILED, reason), failed.message
    told = product.parley("models", "import", "refused", folder)
    assert told.returncode == 1
    assert words in told.stderr
    models, _, _ = product.state()
    assert "refused" not in [model.name for model in models]
