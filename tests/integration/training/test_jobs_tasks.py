"""Claims about a job's tasks in a row: real S3 and processes, a registry and a Jobs in memory."""

import json
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from itertools import groupby
from pathlib import Path

import pytest
from parley.jobs.v1 import jobs_pb2
from parley.registry.v1 import registry_pb2 as pb

from tests.integration.s3 import servers
from tests.integration.training.world import TASK_S, World

pytestmark = pytest.mark.slow

WAIT_S = 120
FACTS = [
    {"prompt": f"What is the {thing}?", "completion": f"The {thing} is {what}.", "category": kind}
    for thing, what, kind in (
        ("sun", "hot", "sky"), ("sea", "wet", "land"), ("hill", "high", "land"),
        ("snow", "cold", "sky"), ("moon", "round", "sky"), ("lake", "deep", "land"),
    )
]  # fmt: skip


def facts_file(world: World) -> str:
    """The data as a person would name them."""
    path = world.folder / "facts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in FACTS))
    return str(path)


def wait_until(is_true: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Waits for a condition while a process lives."""
    end_s = time.monotonic() + WAIT_S
    while not is_true():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end_s, "too late"
        time.sleep(0.02)


def steps(world: World) -> list[int]:
    """The steps that Jobs heard of, in order."""
    return [m.step for r in world.jobs.of("train") for m in r.metrics]


def test_a_dataset_becomes_the_champion(world: World) -> None:
    """Prepare to promote: data and held-out part are stored by digest, evidence names both."""
    conf = {"model": "small", "dataset": facts_file(world), "epochs": 3, "submitted_by": "ann"}
    status, output = world.run("finetune", conf, "job-1")
    assert status == 0, output

    result = world.jobs.result
    assert (result.model, result.version) == ("small", 1)
    assert result.promotion == jobs_pb2.PROMOTION_OUTCOME_PROMOTED
    assert result.dataset_digest == sha256(Path(facts_file(world)).read_bytes()).hexdigest()
    for digest in (result.dataset_digest, result.evaluation_digest):
        stored = world.bucket.get_object(servers.BUCKET, f"datasets/sha256/{digest}").read()
        assert sha256(stored).hexdigest() == digest

    (version,) = world.registry.versions["small"]
    assert version.evidence.dataset_digest == result.dataset_digest
    assert version.evidence.evaluation_digest == result.evaluation_digest
    assert {"eval.exact_match", "eval.perplexity", "eval.category.sky"} <= set(
        version.evidence.metrics
    )
    assert version.evidence.wandb_run == result.wandb_run != ""
    assert {found.get("x-parley-client") for found in world.registry.metadata} == {"ann"}
    tasks = list(dict.fromkeys(report.task for report in world.jobs.reports))
    assert tasks == ["prepare", "train", "evaluate", "export", "register", "promote"]
    assert all(world.jobs.of(task)[-1].percent == 100 for task in tasks)
    (gate,) = world.registry.models["small"].policy.gates
    assert gate == pb.Gate(metric="eval.exact_match", margin=0.02)

    # Once more: everything is done already, and stays as it was.
    again, output = world.run("finetune", conf, "job-1")
    assert again == 0, output
    assert len(world.registry.versions["small"]) == 1
    written = {str(p.relative_to(world.folder)).split("/")[0] for p in world.folder.rglob("*")}
    assert not {".local", ".config", "mlruns"} & written


def test_a_job_that_was_killed_goes_on_from_its_checkpoint(world: World) -> None:
    """Kill -9 in the middle of the training; the next attempt does the rest, and one version is
    made."""
    conf = {"model": "small", "dataset": facts_file(world), "epochs": 200}
    process = world.start("finetune", conf, "job-2")
    checkpoints = world.folder / "work/job-2/checkpoints"
    wait_until(lambda: any(checkpoints.glob("*/trainer_state.json")), process)
    wait_until(lambda: bool(steps(world)), process)
    # Which is opened beside the training.
    runs = world.folder / "wandb/wandb"
    records = partial(runs.glob, "offline-run-*/run-*.wandb")
    wait_until(lambda: any(record.stat().st_size for record in records()), process)
    process.kill()
    process.communicate()
    (offline,) = runs.glob("offline-run-*")
    (record,) = offline.glob("run-*.wandb")
    assert record.stat().st_size > 0

    world.jobs.reports.clear()
    status, output = world.run("finetune", conf, "job-2")
    assert status == 0, output
    assert steps(world)[0] > 1
    assert steps(world) == sorted(set(steps(world)))
    assert len(world.registry.versions["small"]) == 1


def test_a_job_that_is_told_to_stop_is_gone_in_seconds(world: World) -> None:
    """The answer to a report ends the process, whatever it is doing."""
    conf = {"model": "small", "dataset": facts_file(world), "epochs": 1000}
    process = world.start("finetune", conf, "job-3")
    wait_until(lambda: bool(steps(world)), process)
    world.jobs.stop = True
    process.communicate(timeout=30)
    assert process.returncode != 0
    assert "small" not in world.registry.models


def test_a_signal_makes_a_checkpoint_first(world: World) -> None:
    """SIGTERM costs no work."""
    world.more["CHECKPOINT_S"] = "3000"
    conf = {"model": "small", "dataset": facts_file(world), "epochs": 1000}
    process = world.start("finetune", conf, "job-4")
    wait_until(lambda: bool(steps(world)), process)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0, output
    assert list((world.folder / "work/job-4/checkpoints").glob("*/trainer_state.json")), output


def test_two_processes_of_a_job_never_train_at_once(world: World) -> None:
    """The younger one begins when the older one is told to stop and has left."""
    conf = {"model": "small", "dataset": facts_file(world), "epochs": 400}
    older = world.start("finetune", conf, "job-5")
    wait_until(lambda: bool(steps(world)), older)
    # It must not come to its end while the younger one is being started.
    older.send_signal(signal.SIGSTOP)
    younger = world.start("finetune", conf, "job-5")
    # It waits with its first task, for the whole job has one lock.
    wait_until(lambda: len({r.attempt for r in world.jobs.of("prepare")}) > 1, younger)
    older.send_signal(signal.SIGTERM)
    older.send_signal(signal.SIGCONT)
    older.communicate(timeout=60)
    output, _ = younger.communicate(timeout=TASK_S)
    assert younger.returncode == 0, output
    attempts = [report.attempt for report in world.jobs.of("train") if report.metrics]
    assert len(list(dict.fromkeys(attempts))) == len([a for a, _ in groupby(attempts)]) == 2
    assert len(world.registry.versions["small"]) == 1


def test_bad_data_fail_the_job_with_the_line(world: World) -> None:
    """Jobs hears why, as the last thing, and no repeat is asked for."""
    path = world.folder / "bad.jsonl"
    path.write_text(json.dumps(FACTS[0]) + "\n" + "oh\n")
    status, output = world.run("finetune", {"model": "small", "dataset": str(path)}, "job-6")
    assert status == 1, output
    error = world.jobs.reports[-1].error
    assert error.reason == "DATASET_INVALID"
    assert error.task == "prepare"
    assert "line 2 is not JSON" in error.message


def test_a_gate_that_refuses_is_a_result(world: World) -> None:
    """The job succeeds; its version is registered, and the words of the gate are kept."""
    gate = pb.Gate(metric="eval.exact_match", floor=1.0)
    world.registry.models["small"] = pb.Model(name="small", policy=pb.ModelPolicy(gates=[gate]))
    conf = {"model": "small", "dataset": facts_file(world), "epochs": 1}
    status, output = world.run("finetune", conf, "job-7")
    assert status == 0, output
    assert world.jobs.result.promotion == jobs_pb2.PROMOTION_OUTCOME_REFUSED
    assert "eval.exact_match" in world.jobs.result.promotion_reason
    assert world.registry.models["small"].champion == 0


def test_a_version_is_measured_beside_the_champion(world: World, small_model: Path) -> None:
    """On the dataset that the caller names, and without making a version."""
    conf = {"model": "parley-starter", "dataset": facts_file(world)}
    status, output = world.run("evaluate", conf, "job-8")
    assert status == 0, output
    result = world.jobs.result
    assert (result.model, result.version) == ("parley-starter", 1)
    names = {name for r in world.jobs.of("evaluate") for m in r.metrics for name in m.values}
    assert "eval.exact_match" in names


def test_an_import_is_the_registrys_work(world: World, small_model: Path) -> None:
    """The job waits for it, and asks for the promotion."""
    conf = {"model": "copied", "source": str(small_model)}
    status, output = world.run("import_model", conf, "job-9")
    assert status == 0, output
    assert world.registry.models["copied"].champion == 1
