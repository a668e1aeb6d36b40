"""`./parley feedback` on a feedback service that keeps the contract's rules."""

import json

import pytest
from parley.jobs.v1 import feedback_pb2 as pb

from stack.errors import Exit

ANSWER = f"chatcmpl-{'a' * 12}-3-17-{'b' * 32}"


@pytest.fixture
def one(mesh):
    """One entry, with a conversation."""
    entry = pb.FeedbackEntry(
        response_id=ANSWER,
        rating=pb.RATING_BAD,
        correction="It is\x1b[31m Paris,\nin France. " + "x" * 80,
        given_by="ann",
        model="m",
        version=3,
        conversation=[pb.Turn(role="user", content="Where?")],
    )
    entry.time.GetCurrentTime()
    mesh.feedback.entries["ann", ANSWER, 0] = entry
    return mesh


def test_list_tells_people_and_programs_the_same(one, parley):
    """One line each, which commands no terminal; all of it as JSON."""
    run = parley("feedback", "list")
    assert "bad" in run.stdout and "m@3" in run.stdout and "ann" in run.stdout
    assert "It is[31m Paris, in France. xxx" in run.stdout
    assert "\x1b" not in run.stdout
    told = json.loads(parley("feedback", "list", "--json").stdout)
    assert told[0]["correction"].endswith("x" * 80)


def test_export_names_the_dataset_and_how_to_train_on_it(one, parley):
    """The digest to stdout, what was left out to stderr."""
    run = parley("feedback", "export", "m")
    digest = next(iter(one.feedback.datasets))
    assert run.stdout == f"sha256:{digest}\n"
    assert "1 rows" in run.stderr
    assert f"./parley train sha256:{digest} --name m" in run.stderr


def test_nothing_to_export_is_said(mesh, parley):
    """In the service's words."""
    run = parley("feedback", "export", "m")
    assert (run.exit_code, "no feedback to use" in run.stderr) == (Exit.FAILED, True)
    assert "none yet" in parley("feedback", "list").stderr
