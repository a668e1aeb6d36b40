"""Claims about imports on their way, with a table, a bucket and an export that are in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from services.registry.importing import importer
from services.registry.importing.importer import WAITING_MAX, Importing
from services.registry.importing.manifest import Tell, hash_folder
from services.registry.model import Evidence, Import, ImportState
from services.rpc.errors import FailedPrecondition, InvalidArgument, ResourceExhausted, Unavailable
from tests.fakes.bucket import Bucket
from tests.fakes.imports import WAIT_S, Registrar, Rows, Settings
from tests.unit.registry.importing.folders import make_folder


@dataclass
class Export:
    """Makes an engine's form of two files; hangs at `hang`, and fails as often as told."""

    calls: int = 0
    failure: Exception | None = None
    hang: asyncio.Event | None = None
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def export(self, folder: Path, tell: Tell) -> Path:
        self.calls += 1
        self.begun.set()
        if self.hang:
            await self.hang.wait()
        if self.failure:
            raise self.failure
        engine = folder / "openvino"
        engine.mkdir(exist_ok=True)
        for name in ("openvino_model.xml", "openvino_model.bin"):
            (engine / name).write_bytes(name.encode())
        return engine


@dataclass
class Bench:
    """All parts of one registry, and a folder to import."""

    settings: Settings
    folder: Path
    rows: Rows = field(default_factory=Rows)
    bucket: Bucket = field(default_factory=Bucket)
    export: Export = field(default_factory=Export)
    registrar: Registrar = field(default_factory=Registrar)

    def importing(self) -> Importing:
        importing = Importing(self.settings, self.rows, self.rows, self.registrar, self.bucket)
        importing._stages._exporter = self.export
        return importing

    def ask(self, import_id: str = "one", **changes: object) -> Import:
        """Commits a row, as the servicer does."""
        evidence = Evidence(metrics={"loss": 1.0})
        asked = Import(
            import_id,
            "m",
            ImportState.RUNNING,
            "local_folder",
            str(self.folder),
            evidence,
            "",
            "me",
        )
        self.rows.rows[import_id] = replace(asked, **changes)
        return self.rows.rows[import_id]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Importing]:
        importing = self.importing()
        task = asyncio.create_task(importing.run())
        try:
            yield importing
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(importer, "RETRY_S_MIN", 0.01)
    monkeypatch.setattr(importer, "RETRY_S_MAX", 0.01)
    folder = make_folder(tmp_path / "model")
    return Bench(Settings(tmp_path / "imports", [tmp_path]), folder)


async def test_an_import_becomes_a_version(bench: Bench):
    """Its files are stored under their digests, and the registrar hears of each."""
    bench.ask()
    async with bench.running():
        row = await bench.rows.over("one")
    assert (row.state, row.number, row.fraction, row.reason) == (ImportState.DONE, 7, 1.0, "")
    (fields,) = bench.registrar.seen
    digest = hash_folder(bench.folder).digest
    assert fields["digest"] == digest
    assert (fields["architecture"], fields["context_tokens_max"]) == ("LlamaForCausalLM", 128)
    assert fields["principal"] == "me"
    assert {file.key for file in fields["files"]} == bench.bucket.held.keys()
    paths = {file.path: file for file in fields["files"]}
    assert paths["config.json"].key == f"models/{digest}/config.json"
    engine = f"engines/{fields['engine_digest']}/openvino_model.bin"
    assert paths["openvino/openvino_model.bin"].key == engine


async def test_nothing_of_a_finished_import_stays_on_the_disk(bench: Bench):
    """By the time the next one is over, whether it went well or not."""
    bench.ask("one")
    bench.ask("two", expected_digest="0" * 64)
    bench.ask("three")
    async with bench.running():
        await bench.rows.over("three")
        assert _left(bench) <= {"three"}


def _left(bench: Bench) -> set[str]:
    return {path.name for path in bench.settings.imports_dir.iterdir()}


async def test_what_dead_imports_left_is_swept_at_the_start(bench: Bench):
    """Only folders of imports that go on stay."""
    (bench.settings.imports_dir / "dead" / "model").mkdir(parents=True)
    bench.ask()
    async with bench.running():
        await bench.rows.over("one")
    assert "dead" not in _left(bench)


async def test_a_refused_folder_fails_with_its_reason(bench: Bench):
    """The row says which rule was broken, and nothing is stored."""
    (bench.folder / "pytorch_model.bin").write_bytes(b"")
    bench.ask()
    async with bench.running():
        row = await bench.rows.over("one")
    assert (row.state, row.reason, row.stage) == (ImportState.FAILED, "PICKLE_FILE", "check")
    assert row.message.startswith("pytorch_model.bin ")
    assert not bench.bucket.held
    assert not bench.export.calls


@pytest.mark.parametrize("same", [True, False])
async def test_the_digest_must_be_the_expected_one(bench: Bench, same: bool):
    """Other files than the caller meant are not registered under its name."""
    digest = hash_folder(bench.folder).digest
    bench.ask(expected_digest=digest if same else "0" * 64)
    async with bench.running():
        row = await bench.rows.over("one")
    assert row.reason == ("" if same else "DIGEST_DIFFERS")
    assert (digest in row.message) is not same


async def test_a_failed_import_lets_the_next_one_pass(bench: Bench):
    """One bad folder holds nobody up."""
    bench.ask("one", source="/no/such/folder")
    bench.ask("two")
    async with bench.running():
        assert (await bench.rows.over("one")).reason == "FOLDER_NOT_FOUND"
        assert (await bench.rows.over("two")).state is ImportState.DONE


async def test_an_import_goes_on_where_the_process_died(bench: Bench):
    """What was copied is not copied again, even when the source is gone by then."""
    bench.ask()
    bench.export.hang = asyncio.Event()
    async with bench.running():
        await asyncio.wait_for(bench.export.begun.wait(), WAIT_S)
    for path in bench.folder.iterdir():
        path.unlink()
    bench.export.hang = None
    async with bench.running():
        row = await bench.rows.over("one")
    assert (row.state, row.number) == (ImportState.DONE, 7)


async def test_what_a_power_cut_spoilt_is_made_again(bench: Bench):
    """A copy whose bytes are not those that were written down is worth nothing."""
    bench.ask()
    bench.export.hang = asyncio.Event()
    async with bench.running():
        await asyncio.wait_for(bench.export.begun.wait(), WAIT_S)
    copy = bench.settings.imports_dir / "one" / "model" / "model.safetensors"
    copy.write_bytes(bytes(copy.stat().st_size))
    bench.export.hang = None
    async with bench.running():
        row = await bench.rows.over("one")
    assert row.state is ImportState.DONE
    assert bench.registrar.seen[0]["digest"] == hash_folder(bench.folder).digest


async def test_a_finished_export_is_not_made_again(bench: Bench):
    """An outage while storing costs no second export, and is told while it lasts."""
    bench.bucket.outages = 2
    bench.registrar.failures = [Unavailable("MLflow is away", reason="MLFLOW_UNAVAILABLE")]
    bench.ask()
    async with bench.running():
        row = await bench.rows.over("one")
    assert row.state is ImportState.DONE
    assert bench.export.calls == 1
    assert len(bench.bucket.written) == len(set(bench.bucket.written))


async def test_the_same_files_for_the_same_run_are_exported_once(bench: Bench):
    """Their version has an engine's form already; another run's files get one of their own."""
    bench.ask("one")
    bench.ask("two")
    bench.ask("three", evidence=Evidence(run_id="1f" * 16))
    async with bench.running():
        assert (await bench.rows.over("two")).state is ImportState.DONE
        assert bench.export.calls == 1
        assert (await bench.rows.over("three")).state is ImportState.DONE
    assert bench.export.calls == 2
    first, second, _ = bench.registrar.seen
    assert {**first, "import_id": ""} == {**second, "import_id": ""}


@pytest.mark.parametrize("lost", [True, False])
async def test_an_import_again_mends_what_the_bucket_lost(bench: Bench, lost: bool):
    """Where the engine's form is not whole any more, it is made anew."""
    bench.ask("one")
    async with bench.running():
        await bench.rows.over("one")
    whole = dict(bench.bucket.held)
    key = next(key for key in whole if key.endswith("openvino_model.bin"))
    if lost:
        del bench.bucket.held[key]
    else:
        bench.bucket.held[key] = b"other"
    bench.ask("two")
    async with bench.running():
        assert (await bench.rows.over("two")).state is ImportState.DONE
    assert bench.export.calls == 2
    assert bench.bucket.held == whole


async def test_a_store_that_stays_away_fails_the_import(bench: Bench):
    """Nobody waits for ever, and the reason is the store's."""
    bench.settings.import_patience_s = 0
    bench.bucket.outages = 1
    bench.ask()
    async with bench.running():
        row = await bench.rows.over("one")
    assert (row.state, row.reason) == (ImportState.FAILED, "OBJECT_STORE_UNAVAILABLE")


async def test_an_end_is_written_down_as_soon_as_the_database_is_back(bench: Bench):
    """An outage at the very end loses no import."""
    bench.ask()
    bench.export.hang = asyncio.Event()
    async with bench.running():
        await asyncio.wait_for(bench.export.begun.wait(), WAIT_S)
        bench.rows.outages = 3
        bench.export.hang.set()
        assert (await bench.rows.over("one")).state is ImportState.DONE


FAILURES = [
    (OSError(28, "No space left on device"), "DISK_FULL"),
    (OSError(5, "Input/output error"), "IMPORT_BROKE"),
    (RuntimeError("a bug"), "IMPORT_BROKE"),
    (InvalidArgument("no", reason="ENGINE_REFUSED"), "ENGINE_REFUSED"),
    (FailedPrecondition("no", reason="RUN_NOT_FOUND"), "RUN_NOT_FOUND"),
]


@pytest.mark.parametrize(("failure", "reason"), FAILURES)
async def test_every_failure_ends_in_the_row(bench: Bench, failure: Exception, reason: str):
    """With a reason, with words, and without what only the log may hold."""
    bench.export.failure = failure
    bench.ask()
    async with bench.running():
        row = await bench.rows.over("one")
    assert (row.state, row.reason) == (ImportState.FAILED, reason)
    assert "a bug" not in row.message
    assert not bench.bucket.held


async def test_the_queue_is_bounded(bench: Bench):
    """One at work and a number that wait; the next caller is told to come back."""
    importing = bench.importing()
    for number in range(WAITING_MAX):
        bench.ask(str(number))
    await importing.admit(None)
    bench.ask("last")
    with pytest.raises(ResourceExhausted) as refusal:
        await importing.admit(None)
    assert refusal.value.retry_after_s


async def test_a_new_row_is_taken_up_when_told(bench: Bench):
    """An idle importer sleeps until it is woken."""
    async with bench.running() as importing:
        bench.ask()
        importing.wake()
        assert (await bench.rows.over("one")).state is ImportState.DONE


async def test_progress_never_falls(bench: Bench):
    """Each stage goes on where the one before ended."""
    told: list[tuple[str, float]] = []
    row = bench.ask()
    importing = bench.importing()
    await importing._stages.run(row, lambda stage, share: told.append((stage, share)))
    assert list(dict.fromkeys(stage for stage, _ in told)) == ["check", "store", "register"]
    telling = importer.Telling(row, importing._stopped, bench.rows.update)
    fractions = []
    for stage, share in told:
        telling.report(stage, share)
        fractions.append(telling.row.fraction)
    assert fractions == sorted(fractions)
