"""Claims about folders that transformers writes, imported with the real exporter and engine."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from services.registry.importing.exporter import Exporter
from services.registry.importing.importer import Importing
from services.registry.model import Evidence, Import, ImportState
from services.rpc.errors import FailedPrecondition, InvalidArgument
from services.serving.model import read_model
from services.serving.prompts import read_prompts
from tests.fakes.bucket import Bucket
from tests.fakes.imports import Registrar, Rows, Settings
from tests.integration.registry.shapes import FAMILIES, POSITIONS, TEMPLATE, make_shape
from training.quiet import quiet_libraries

pytestmark = [
    pytest.mark.slow,
    # The libraries that make and ask models warn about themselves, not about our use of them.
    pytest.mark.filterwarnings("ignore"),
]

# An export gives way to all else that the machine does.
IMPORT_S = 900.0
PROMPT = [40, 41, 42, 43, 44]
TOKENS = 8


class Imported(NamedTuple):
    """A source folder, and what a replica would fetch of it."""

    source: Path
    served: Path


@pytest.fixture(scope="module", params=FAMILIES)
def imported(request, tmp_path_factory) -> Imported:
    folder = tmp_path_factory.mktemp("imports")
    template = TEMPLATE if request.param == "qwen2" else ""
    source = make_shape(request.param, folder / "source", template)
    return Imported(source, asyncio.run(_import(source, folder)))


async def _import(source: Path, folder: Path) -> Path:
    """Imports a folder, and gives the files of the version back."""
    rows, bucket, registrar = Rows(), Bucket(), Registrar()
    settings = Settings(folder / "work", [folder], export_timeout_s=IMPORT_S)
    asked = ("one", "m", ImportState.RUNNING, "local_folder", str(source), Evidence(), "", "me")
    rows.rows["one"] = Import(*asked)
    task = asyncio.create_task(Importing(settings, rows, rows, registrar, bucket).run())
    row = await rows.over("one", IMPORT_S)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert (row.state, row.message) == (ImportState.DONE, "This is version 7.")
    for file in registrar.seen[0]["files"]:
        path = folder / "served" / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bucket.held[file.key])
    return folder / "served"


def test_the_engine_answers_as_the_source_does(imported: Imported):
    """The engine's greedy tokens are those of the safetensors, for every family."""
    assert _engine_answer(imported.served) == _source_answer(imported.source)


def test_serving_reads_what_was_imported(imported: Imported):
    """The folder has all that a replica looks for, whatever the family calls it."""
    model = read_model(imported.served, "m")
    assert (model.context_tokens_max, model.end_ids) == (POSITIONS, (0,))


def test_a_folder_without_a_template_takes_no_conversations(imported: Imported):
    """None is made up: it is served for plain text and tokens, and says so."""
    prompts = read_prompts(imported.served)
    assert prompts.encode_text("What is the capital?")
    if "qwen2" in (imported.served / "config.json").read_text():
        assert prompts.encode_conversation([("user", "What?")])
    else:
        with pytest.raises(FailedPrecondition) as refusal:
            prompts.encode_conversation([("user", "What?")])
        assert refusal.value.reason == "NO_CHAT_TEMPLATE"


def test_the_engines_tokenizer_cuts_text_alike(imported: Imported):
    """The exported tokenizer gives the source's ids, and joins them again."""
    import openvino_genai

    text = "What is the capital of Grüße?\n  1 + 2"
    theirs = openvino_genai.Tokenizer(str(imported.served / "openvino"))
    ids = theirs.encode(text, add_special_tokens=False).input_ids.data[0].tolist()
    ours = read_prompts(imported.served).tokenizer
    assert ids == ours.encode(text, add_special_tokens=False).ids
    assert theirs.decode(ids) == text


def _engine_answer(folder: Path) -> list[int]:
    import openvino
    import openvino_genai

    scheduler = openvino_genai.SchedulerConfig()
    scheduler.cache_size = 1
    pipeline = openvino_genai.ContinuousBatchingPipeline(
        str(folder / "openvino"), scheduler, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}, {}
    )
    greedy = openvino_genai.GenerationConfig(
        max_new_tokens=TOKENS, do_sample=False, ignore_eos=True
    )
    (result,) = pipeline.generate([openvino.Tensor([PROMPT])], [greedy])
    return list(result.m_generation_ids[0])


def _source_answer(folder: Path) -> list[int]:
    with quiet_libraries():
        import torch
        from transformers import AutoModelForCausalLM

        network = AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, dtype=torch.float32
        )
        prompt = torch.tensor([PROMPT])
        whole = network.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            do_sample=False,
            min_new_tokens=TOKENS,
            max_new_tokens=TOKENS,
            # What the engine does without its end: nothing is held back.
            eos_token_id=None,
        )
    return whole[0, len(PROMPT) :].tolist()


@pytest.fixture(scope="module")
def llama(tmp_path_factory) -> Path:
    return make_shape("llama", tmp_path_factory.mktemp("shapes") / "llama")


@pytest.fixture
def folder(llama: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    copy = tmp_path / "model"
    copy.mkdir()
    for path in llama.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    return copy


async def test_an_export_that_was_interrupted_can_be_made_again(folder: Path):
    """Nothing half-made is ever seen, and what is left does not hinder the next one."""
    exporter, begun = Exporter(IMPORT_S), asyncio.Event()
    first = asyncio.create_task(exporter.export(folder, lambda _: begun.set()))
    await asyncio.wait_for(begun.wait(), IMPORT_S)
    first.cancel()
    with suppress(asyncio.CancelledError):
        await first
    assert not (folder / "openvino").exists()
    engine = await exporter.export(folder, lambda _: None)
    assert (engine / "openvino_model.xml").exists()
    assert not (folder / ".openvino.partial").exists()


async def test_code_beside_a_model_is_never_run(folder: Path):
    """Even where the checks are passed by, the export neither runs nor opens what could run."""
    canary = folder.parent / "canary"
    code = f"from pathlib import Path\nPath({str(canary)!r}).touch()\nclass C: pass\n"
    (folder / "modeling.py").write_text(code)
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate" / "generate.py").write_text(code)
    # A pickle of protocol 0 that touches the file when it is opened.
    (folder / "pytorch_model.bin").write_bytes(
        f"cpathlib\nPath.touch\n(cpathlib\nPath\n(V{canary}\ntRtR.".encode()
    )
    names = {"AutoConfig": "modeling.C", "AutoModelForCausalLM": "modeling.C"}
    for name in ("config.json", "tokenizer_config.json"):
        _edit(folder / name, auto_map=names | {"AutoTokenizer": ["modeling.C", "modeling.C"]})
    await Exporter(IMPORT_S).export(folder, lambda _: None)
    assert not canary.exists()


def _edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


SPOILT = {
    "UNSUPPORTED_ARCHITECTURE": {"model_type": "nonesuch"},
    "WEIGHTS_INCOMPLETE": {"num_hidden_layers": 3},
    "EXPORT_FAILED": {"hidden_act": "nonesuch"},
}


@pytest.mark.parametrize(("reason", "changes"), SPOILT.items(), ids=SPOILT)
async def test_what_cannot_be_exported_is_refused(folder: Path, reason: str, changes: dict):
    """A config that names what nobody knows, or what the weights do not have."""
    _edit(folder / "config.json", **changes)
    with pytest.raises(InvalidArgument) as refusal:
        await Exporter(IMPORT_S).export(folder, lambda _: None)
    assert refusal.value.reason == reason
    assert not (folder / "openvino").exists()
