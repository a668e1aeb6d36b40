"""Claims about runs in a real MLflow and in W&B's folder, and about a server that never answers."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.training.mlflow_server import running_mlflow
from training.quiet import folders, quiet_libraries
from training.settings import TrainingSettings
from training.tracking import mlflow_sink
from training.tracking.picture import compare
from training.tracking.tracker import Tracker, open_tracker
from training.tracking.wandb_reader import read_summary

pytestmark = pytest.mark.slow

DIGEST = "ab" * 32
WAIT_S = 60.0


@pytest.fixture(scope="module")
def mlflow_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_mlflow(tmp_path_factory.mktemp("mlflow") / "home") as url:
        yield url


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[TrainingSettings]:
    """Without MLflow; a test adds it where it needs one."""
    made = TrainingSettings(work_dir=tmp_path, wandb_dir=tmp_path / "wandb")
    with quiet_libraries(), folders(made.work_dir, made.wandb_dir):
        yield made


def with_mlflow(settings: TrainingSettings, url: str) -> TrainingSettings:
    """The same, told of an MLflow and of a key for it."""
    key = settings.work_dir / "key"
    key.touch(0o600)
    key.write_text("a-key")
    return settings.model_copy(update={"mlflow_url": url, "mlflow_key_file": key})


def wait_for_runs(tracker: Tracker) -> tuple[str, str]:
    """Both runs' ids; a busy machine opens them slowly."""
    end_s = time.monotonic() + WAIT_S
    while not (tracker.mlflow_run() and tracker.wandb_run()):
        assert time.monotonic() < end_s
    return tracker.mlflow_run(), tracker.wandb_run()


def test_a_job_has_one_run_however_many_tasks_write_to_it(
    settings: TrainingSettings,
    mlflow_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Found again by its tag; with params, curves, datasets by digest, table and picture."""
    # A server that has just begun, on a busy machine, may take longer for its first answer.
    monkeypatch.setattr(mlflow_sink, "REQUEST_S", 60)
    from mlflow.tracking import MlflowClient

    told = with_mlflow(settings, mlflow_url)
    training = open_tracker(told, "job-1", "kites", {"recipe.rounds": 3})
    for step in range(1, 6):
        training.metrics(step, {"loss": 1 / step})
    training.dataset(DIGEST, "s3://parley/x", "training")
    first, _ = wait_for_runs(training)
    training.close(within_s=WAIT_S)

    evaluating = open_tracker(told, "job-1", "kites", {"recipe.rounds": 3})
    measured = {"candidate": {"eval.exact_match": 0.9}, "champion": {"eval.exact_match": 0.8}}
    evaluating.comparison(compare(tmp_path, measured))
    second, wandb = wait_for_runs(evaluating)
    evaluating.close(has_ended=True, within_s=WAIT_S)

    client = MlflowClient(mlflow_url)
    experiment = client.get_experiment_by_name("kites")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_id == first == second
    assert run.info.status == "FINISHED"
    assert run.data.params == {"recipe.rounds": "3"}
    assert len(client.get_metric_history(first, "loss")) == 5
    assert run.inputs.dataset_inputs[0].dataset.digest == DIGEST[:36]
    assert {one.path for one in client.list_artifacts(first)} == {
        "comparison.json",
        "comparison.png",
    }
    assert run.data.tags["parley.wandb_run"] == wandb
    assert run.data.tags["parley.job"] == "job-1"


def test_what_wandb_keeps_can_be_read_back(settings: TrainingSettings) -> None:
    """The champion's numbers are shown beside today's."""
    tracker = open_tracker(settings, "job-2", "kites", {})
    tracker.metrics(1, {"eval.exact_match": 0.75, "loss": 0.5})
    end_s = time.monotonic() + WAIT_S
    while not (run := tracker.wandb_run()):
        assert time.monotonic() < end_s
    tracker.close(has_ended=True, within_s=WAIT_S)
    assert read_summary(settings, run)["eval.exact_match"] == 0.75
    assert {p.name for p in settings.work_dir.iterdir()} <= {"wandb", ".matplotlib"}


def test_a_run_that_cannot_be_read_is_no_failure(settings: TrainingSettings) -> None:
    """Nor can its name lead out of the folder."""
    for run in ("offline-run-of-nobody", "../../etc", ""):
        assert read_summary(settings, run) == {}


def test_a_run_whose_process_was_killed_can_be_read(settings: TrainingSettings) -> None:
    """Its records are there, though it never ended."""
    code = (
        "import os, sys, time; from pathlib import Path\n"
        "from training.settings import TrainingSettings\n"
        "from training.tracking.tracker import open_tracker\n"
        "folder = Path(sys.argv[1])\n"
        "settings = TrainingSettings(work_dir=folder, wandb_dir=folder / 'wandb')\n"
        "t = open_tracker(settings, 'j', 'k', {})\n"
        "for step in range(50): t.metrics(step, {'loss': float(step)})\n"
        "while not t.wandb_run(): pass\n"
        "print(t.wandb_run(), flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(settings.work_dir)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        run = process.stdout.readline().strip()
        end_s = time.monotonic() + WAIT_S
        while read_summary(settings, run).get("loss") != 49.0:
            assert time.monotonic() < end_s
        process.kill()
    assert read_summary(settings, run)["loss"] == 49.0


def test_an_mlflow_that_never_answers_is_not_waited_for(settings: TrainingSettings) -> None:
    """It takes connections and says nothing; all calls come back, and there is no run."""
    with socket.create_server(("127.0.0.1", 0)) as hole:
        told = with_mlflow(settings, f"http://127.0.0.1:{hole.getsockname()[1]}")
        told = told.model_copy(update={"wandb_mode": "disabled"})
        tracker = open_tracker(told, "job-3", "kites", {})
        for step in range(5000):
            tracker.metrics(step, {"loss": 1.0})
        assert tracker.mlflow_run() == ""
        tracker.close(has_ended=True)
