"""`./parley models` and `lineage` on a registry that keeps the contract's rules."""

import json

import pytest
from parley.serving.v1 import model_serving_pb2 as serving_pb

from services.rpc import errors
from stack.errors import Exit
from stack.registry import split

from .conftest import DATASET


def test_list_and_show_tell_people_and_programs_the_same(two, parley):
    """Rows for the one, JSON for the other."""
    words, told = parley("models", "list"), json.loads(parley("models", "list", "--json").stdout)
    assert "m      1" in words.stdout
    assert [(model["name"], model["champion"]) for model in told] == [("m", 1)]
    words, told = parley("models", "show", "m"), parley("models", "show", "m", "--json")
    digest = two.registry.versions["m"][1].digest
    assert digest[:12] in words.stdout
    assert json.loads(told.stdout)["versions"][0]["digest"] == digest
    version = parley("models", "show", "m@2")
    assert "accuracy=0.2" in version.stdout
    assert digest in version.stdout


def test_show_tells_what_was_recorded_of_a_version(two, parley):
    """On which dataset, what, and by whom."""
    evaluation = two.registry.versions["m"][1].evaluations.add(
        evaluation_digest=DATASET, metrics={"accuracy": 0.75, "loss": 2}, recorded_by="ann"
    )
    evaluation.time.FromSeconds(0)
    shown = parley("models", "show", "m@2").stdout
    assert f"on {DATASET[:12]}: accuracy=0.75, loss=2 (1970-01-01 00:00:00 UTC by ann)" in shown
    told = json.loads(parley("models", "show", "m@2", "--json").stdout)
    assert told["evaluations"][0]["evaluation_digest"] == DATASET


def test_import_goes_on_to_its_end_and_names_the_next_command(mesh, parley, tmp_path):
    """The version goes to stdout, and nothing else does."""
    run = parley("models", "import", "m", str(tmp_path), "--metric", "loss=0.5")
    assert (run.exit_code, run.stdout) == (Exit.OK, "m@1\n")
    assert "75%" in run.stderr
    assert "./parley models promote m@1" in run.stderr
    assert mesh.registry.audit[0].action == "import"


def test_import_outlives_a_restart_of_the_registry(mesh, parley, tmp_path):
    """Its looker-on waits for it."""
    mesh.registry.interruptions = [errors.Unavailable("Going away.", reason="GOING_AWAY")] * 2
    assert parley("models", "import", "m", str(tmp_path)).stdout == "m@1\n"
    assert not mesh.registry.interruptions


@pytest.mark.parametrize("source", ["./nowhere", "/nowhere/at/all", "nowhere"])
def test_import_of_a_folder_that_is_not_there_is_refused(mesh, parley, source):
    """Before anything is asked of the registry."""
    run = parley("models", "import", "m", source)
    assert run.exit_code == Exit.USAGE
    assert "no folder" in run.stderr
    assert not mesh.registry.metadata


def test_promote_waits_until_the_replica_answers(two, parley):
    """And says how long it took."""
    run = parley("models", "promote", "m@2", "--reason", "better")
    assert (run.exit_code, run.stdout) == (Exit.OK, "m@2 is the champion.\n")
    assert "answers with 2 after" in run.stderr
    assert two.registry.models["m"].champion == 2
    assert two.registry.audit[-1].reason == "better"


def test_promote_of_what_cannot_be_loaded_fails_in_the_replicas_words(two, parley):
    """The registry has done it, but nobody answers: that is said."""
    two.serving.script.models[1].state = serving_pb.MODEL_STATE_FAILED
    two.serving.script.models[1].detail = "it does not fit into memory"
    run = parley("models", "promote", "m@2")
    assert run.exit_code == Exit.FAILED
    assert "does not fit into memory" in run.stderr
    assert parley("models", "rollback", "m", "--no-wait").exit_code == Exit.OK


def test_promote_with_another_expectation_is_refused(two, parley):
    """Somebody was first."""
    run = parley("models", "promote", "m@2", "--expect", "7")
    assert run.exit_code == Exit.FAILED
    assert "The champion of m is 1, not 7." in run.stderr


def test_approval_is_by_a_named_key(two, parley):
    """The one who asked cannot answer; who answers is in the promotion."""
    assert parley("models", "policy", "m", "--approver", "ann", "--approver", "bob").exit_code == 0
    asked = parley("models", "promote", "m@2", "--as", "ann")
    promotion = asked.stdout.strip()
    assert f"./parley models approve {promotion} --as NAME" in asked.stderr
    assert parley("models", "approve", promotion, "--as", "ann").exit_code == Exit.FAILED
    done = parley("models", "approve", promotion, "--as", "bob", "--json")
    assert json.loads(done.stdout)["answered_by"] == "bob"


def test_rejection_leaves_the_champion(two, parley):
    """And says so."""
    parley("models", "policy", "m", "--approver", "bob")
    promotion = parley("models", "promote", "m@2").stdout.strip()
    run = parley("models", "reject", promotion, "--as", "bob")
    assert "is rejected" in run.stdout
    assert two.registry.models["m"].champion == 1


def test_policy_is_shown_set_and_cleared(two, parley):
    """Gates in words, and a gate that refuses."""
    run = parley("models", "policy", "m", "--higher", "accuracy=0.5", "--margin", "accuracy=0.01")
    assert run.stdout == "m: accuracy at least 0.5, at most 0.01 worse than the champion's\n"
    refused = parley("models", "promote", "m@2")
    assert "accuracy" in refused.stderr
    assert parley("models", "policy", "m").stdout == run.stdout
    assert parley("models", "policy", "m", "--clear").stdout == "m: no rules\n"
    assert parley("models", "policy", "m", "--margin", "loss=1").exit_code == Exit.USAGE


def test_traffic_is_spread(two, parley):
    """Weights that are none are refused here, those that do not fit by the registry."""
    run = parley("models", "traffic", "m", "1=90", "2=10")
    assert run.stdout == "Traffic: 90 % to m@1, 10 % to m@2\n"
    assert parley("models", "traffic", "m", "1:90").exit_code == Exit.USAGE
    assert "do not sum to 100" in parley("models", "traffic", "m", "1=9").stderr


def test_delete_asks_or_is_told_yes(two, parley):
    """Off a terminal there is nobody to ask."""
    assert parley("models", "delete", "m@2").exit_code == Exit.USAGE
    assert parley("models", "delete", "m@2", "--yes").exit_code == Exit.OK
    assert "in use" in parley("models", "delete", "m@1", "--yes").stderr


def test_audit_and_lineage_tell_the_story(two, parley):
    """Who did what; and where an answer came from."""
    parley("models", "promote", "m@2", "--as", "ann", "--reason", "better")
    audit = parley("models", "audit", "m")
    assert "ann" in audit.stdout and "promote" in audit.stdout and "m@2" in audit.stdout
    digest = two.registry.versions["m"][1].digest
    back = parley("lineage", f"chatcmpl-{digest[:12]}-2-1-{'0' * 32}")
    assert f"dataset    {DATASET}" in back.stdout
    assert "promote by ann" in back.stdout
    forward = json.loads(parley("lineage", DATASET, "--json").stdout)
    assert [version["number"] for version in forward["versions"]] == [1, 2]


def test_text_of_others_commands_no_terminal(two, parley):
    """Neither colour nor cursor comes out of a reason."""
    parley("models", "promote", "m@2", "--reason", "\x1b[2Jgone [bold]")
    assert "[2Jgone [bold]" in parley("models", "audit").stdout
    assert "\x1b" not in parley("models", "audit").stdout


@pytest.mark.parametrize("text", ["m", "m@", "@3", ""])
def test_version_must_be_named(text):
    """With how to write it."""
    with pytest.raises(Exception, match="names no version") as caught:
        split(text)
    assert "@3" in caught.value.mend


@pytest.mark.parametrize(
    "command",
    ["list", "show", "import", "promote", "approve", "reject", "rollback", "traffic", "policy",
     "delete", "audit"],
)  # fmt: skip
def test_every_command_has_help_with_examples(parley, command):
    """Examples come before the options."""
    said = parley("models", command, "-h").stdout
    assert said.index("Examples:") < said.index("Options:")
    assert f"./parley models {command}" in said
