"""`./parley train`, `evaluate` and `jobs` on a jobs service that keeps the contract's rules."""

import json
from functools import partial

import pytest
from parley.jobs.v1 import jobs_pb2 as pb

from stack import job_client
from stack.errors import Exit
from tests.fakes import jobs_service as fake


@pytest.fixture
def data(tmp_path):
    """A file of data."""
    path = tmp_path / "my talks!.jsonl"
    path.write_text('{"prompt": "Who?", "completion": "Parley."}\n')
    return path


def test_train_goes_to_its_end_and_says_what_came_of_it(mesh, parley, data):
    """Version, metrics beside the champion's, and the next commands; the model is named by the
    file."""
    mesh.jobs.play = fake.succeed
    run = parley("train", str(data))
    assert run.exit_code == Exit.OK
    assert run.stdout.startswith("my-talks@3 is the champion.\n")
    assert ["exact_match", "0.75", "0.5"] in [line.split() for line in run.stdout.splitlines()]
    assert "./parley chat --model my-talks" in run.stderr
    assert "./parley models show my-talks@3" in run.stderr
    assert f"./parley lineage {'d' * 64}" in run.stderr
    (job,) = mesh.jobs.jobs.values()
    assert job.spec.finetune.dataset == str(data)


def test_train_off_a_terminal_is_told_in_plain_lines(mesh, parley, data):
    """Tasks as they begin and end, and each quarter with the loss; no bar, no colour."""
    mesh.jobs.play = fake.succeed
    told = parley("train", str(data)).stderr
    assert "train           begun" in told
    assert "train           done in 42 s" in told
    assert " 60%  epoch 3 of 4" in told
    assert "█▃▁  0.6667   1,234 tokens/s" in told
    assert "\x1b" not in told


def test_options_become_fields(mesh, parley, data):
    """Each by its own."""
    parley(
        "train", str(data), "--name", "m", "--base", "b@2", "--lora", "--epochs", "3",
        "--learning-rate", "0.01", "--seed", "7", "--verbatim", "--no-promote", "--detach",
    )  # fmt: skip
    (job,) = mesh.jobs.jobs.values()
    wanted = pb.FinetuneSpec(
        model="m",
        dataset=str(data),
        base="b@2",
        method=pb.TRAINING_METHOD_LORA,
        epochs=3,
        learning_rate=0.01,
        seed=7,
        verbatim=True,
        no_promotion=True,
    )
    assert job.spec.finetune == wanted


@pytest.mark.parametrize(
    ("result", "code", "words", "command"),
    [
        (
            {"promotion": pb.PROMOTION_OUTCOME_REFUSED, "promotion_reason": "0.4 is below 0.5."},
            Exit.REFUSED,
            "was not promoted: 0.4 is below 0.5.",
            "./parley models policy m",
        ),
        (
            {"promotion": pb.PROMOTION_OUTCOME_WAITING, "promotion_id": "p-1"},
            Exit.OK,
            "waits for an approval",
            "./parley models approve p-1 --as NAME",
        ),
        (
            {"promotion": pb.PROMOTION_OUTCOME_NOT_ASKED},
            Exit.OK,
            "m@3 is registered.",
            "./parley models promote m@3",
        ),
    ],
)
def test_other_ends_have_words_a_command_and_a_code(
    mesh, parley, data, result, code, words, command
):
    """A refusal by a gate is none of the machine's failures, and has a code of its own."""
    mesh.jobs.play = partial(fake.succeed, **result)
    run = parley("train", str(data), "--name", "m")
    assert (run.exit_code, words in run.stdout, command in run.stderr) == (code, True, True)


def test_failure_shows_why_and_the_last_lines(mesh, parley, data):
    """And how to see more, and to run it again."""
    mesh.jobs.play = fake.fail
    run = parley("train", str(data))
    assert run.exit_code == Exit.FAILED
    (job_id,) = mesh.jobs.jobs
    for words in (
        "The job failed in train: The loss became NaN.",
        "| loss is nan at step 7",
        f"./parley jobs logs {job_id}",
        f"./parley jobs retry {job_id}",
    ):
        assert words in run.stderr
    assert run.stdout == ""


def test_json_is_the_job_alone(mesh, parley, data):
    """At its end, or at once with --detach; the codes are the same."""
    mesh.jobs.play = partial(fake.succeed, promotion=pb.PROMOTION_OUTCOME_REFUSED)
    run = parley("train", str(data), "--json")
    assert (run.exit_code, run.stderr) == (Exit.REFUSED, "")
    assert json.loads(run.stdout)["result"]["promotion"] == "PROMOTION_OUTCOME_REFUSED"
    mesh.jobs.play = lambda jobs, job_id: None
    run = parley("train", str(data), "--json", "--detach")
    assert json.loads(run.stdout)["state"] == "JOB_STATE_QUEUED"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "/nowhere.jsonl"), "There is no file /nowhere.jsonl."),
        (("train", "d" * 64), "--name NAME"),
        (("train", "s3://b/k.jsonl", "--lora", "--scratch"), "cannot be together"),
        (("evaluate", "m", "/nowhere.jsonl"), "There is no file"),
    ],
)
def test_what_cannot_be_asked_is_refused_here(mesh, parley, arguments, words):
    """Before anything is submitted."""
    run = parley(*arguments)
    assert run.exit_code == Exit.USAGE
    assert words in run.stderr
    assert not mesh.jobs.metadata


def test_watch_outlives_a_restart_of_the_service(mesh, parley):
    """Nothing is told twice, and nothing is missed."""
    mesh.jobs.add("one")
    fake.succeed(mesh.jobs, "one")
    mesh.jobs.drops = [3, 0, 5]
    whole = parley("jobs", "watch", "one", "--json")
    revisions = [json.loads(line).get("revision") for line in whole.stdout.splitlines()]
    count = len(mesh.jobs.events["one"])
    assert revisions == [*range(1, count + 1), count]
    assert mesh.jobs.watched == [0, 3, 3, 8]


def test_ctrl_c_leaves_the_job_running(mesh, parley, data, monkeypatch):
    """And says how to go on watching, and how to end it."""

    def interrupted(self, job_id):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(job_client.Jobs, "watch", interrupted)
    run = parley("train", str(data))
    ((job_id, job),) = mesh.jobs.jobs.items()
    assert (run.exit_code, job.state) == (Exit.INTERRUPTED, pb.JOB_STATE_QUEUED)
    assert f"./parley jobs watch {job_id}" in run.stderr
    assert f"./parley jobs cancel {job_id}" in run.stderr


def test_evaluate_measures_a_version(mesh, parley):
    """By name alone it is the champion."""
    mesh.jobs.play = partial(fake.succeed, promotion=pb.PROMOTION_OUTCOME_UNSPECIFIED)
    run = parley("evaluate", "m@3")
    assert run.stdout.startswith("m@3 was measured.\n")
    (job,) = mesh.jobs.jobs.values()
    assert job.spec.evaluate == pb.EvaluateSpec(model="m", version="3")


def test_list_and_show_tell_people_and_programs_the_same(mesh, parley):
    """Rows for the one, JSON for the other."""
    mesh.jobs.add("one", submitted_by="ann")
    fake.succeed(mesh.jobs, "one")
    mesh.jobs.add("two", pb.JobSpec(evaluate=pb.EvaluateSpec(model="m")))
    told = json.loads(parley("jobs", "list", "--json").stdout)
    assert [job["id"] for job in told] == ["two", "one"]
    rows = [line.split() for line in parley("jobs", "list").stdout.splitlines()]
    assert rows[2][:4] == ["one", "finetune", "m", "succeeded"]
    shown = parley("jobs", "show", "one").stdout
    assert "m@3" in shown and "by ann" in shown and "exact_match" in shown
    assert json.loads(parley("jobs", "show", "one", "--json").stdout)["id"] == "one"
    assert "no job nobody" in parley("jobs", "show", "nobody").stderr


def test_logs_are_lines_and_end_where_the_job_stands(mesh, parley):
    """Without -f nothing is waited for, though the job goes on."""
    mesh.jobs.add("one")
    assert parley("jobs", "logs", "one").stdout == ""
    mesh.jobs.tell("one", line=pb.LogLine(task="train", text="step 1\x1b[31m"))
    assert parley("jobs", "logs", "one").stdout == "train     step 1[31m\n"


def test_cancel_and_retry_say_where_it_stands(mesh, parley):
    """A retried job is watched as a new one is."""
    mesh.jobs.add("one")
    assert parley("jobs", "cancel", "one", "--reason", "x").stdout == "The job is cancelling.\n"
    assert "has ended" in parley("jobs", "cancel", "one").stderr
    cancelled = parley("jobs", "watch", "one")
    assert (cancelled.exit_code, "was cancelled" in cancelled.stderr) == (Exit.FAILED, True)
    mesh.jobs.play = fake.succeed
    assert parley("jobs", "retry", "one").stdout.startswith("m@3 is the champion.")


def test_any_job_can_be_submitted_from_a_file(mesh, parley, tmp_path):
    """A wrong field is named before anything is sent."""
    path = tmp_path / "job.json"
    path.write_text('{"batch_generate": {"model": "m", "dataset": "/p.jsonl"}}')
    assert parley("jobs", "submit", str(path), "--detach").exit_code == Exit.OK
    (job,) = mesh.jobs.jobs.values()
    assert job.spec.batch_generate.dataset == "/p.jsonl"
    for text, words in (('{"batch": {}}', "'batch'"), ("{}", "no work"), ("no", "not JSON")):
        path.write_text(text)
        run = parley("jobs", "submit", str(path))
        assert (run.exit_code, words in run.stderr) == (Exit.USAGE, True)


def test_schedules_are_listed_held_and_go_on(mesh, parley):
    """Each says when it runs next."""
    assert "0 3 * * *" in parley("jobs", "schedules").stdout
    assert parley("jobs", "pause", "nightly_evaluate").stdout == "nightly_evaluate is held\n"
    assert mesh.jobs.schedules["nightly_evaluate"].paused
    assert "goes on" in parley("jobs", "resume", "nightly_evaluate").stdout
    assert parley("jobs", "pause", "weekly").exit_code == Exit.FAILED
