"""`models promote --canary`, `watch` and `rollback`, on a registry that keeps the rules."""

import json

import pytest
from parley.registry.v1 import canary_pb2
from parley.registry.v1 import registry_pb2 as pb

from services.rpc import errors
from stack.commands import canaries
from stack.errors import Exit

PROMOTE = ("models", "promote", "m@2", "--canary", "1,10,100")


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Looks at canaries often."""
    monkeypatch.setattr(canaries, "POLL_S", 0.01)


@pytest.fixture
def interrupted(monkeypatch):
    """Presses Ctrl-C once a canary has been looked at."""
    looked = canaries._look

    def look(known, promotion_id):
        look.count += 1
        if look.count > 1:
            raise KeyboardInterrupt
        return looked(known, promotion_id)

    look.count = 0
    monkeypatch.setattr(canaries, "_look", look)


def test_a_canary_is_followed_to_its_end(two, parley):
    """A line for each step, and the end that any promotion has."""
    run = parley(*PROMOTE, "--step", "5m")
    assert (run.exit_code, run.stdout) == (Exit.OK, "m@2 is the champion.\n")
    lines = [line.split() for line in run.stderr.splitlines() if line.startswith("  m@2")]
    assert [line[1] for line in lines] == ["1", "10", "100"]
    assert "answers with 2 after" in run.stderr
    (promotion,) = two.registry.promotions.values()
    assert promotion.canary.canary.step_duration.seconds == 300


def test_a_canary_that_does_worse_is_told_with_the_figures(two, parley):
    """Which is a refusal, for programs too."""
    two.registry.worse_at = 1
    run = parley(*PROMOTE)
    assert run.exit_code == Exit.REFUSED
    assert run.stdout.startswith("m@2 was rolled back: worse than the champion: 3 of 3 answers")
    assert "m@1 takes all traffic again" in run.stderr
    assert "Next: ./parley models audit m" in run.stderr
    told = parley(*PROMOTE, "--json")
    assert told.exit_code == Exit.REFUSED
    assert json.loads(told.stdout)["state"] == "PROMOTION_STATE_ROLLED_BACK"


def test_ctrl_c_leaves_it_running_and_says_how_to_go_on(two, parley, interrupted):
    """How to follow it, and how to end it."""
    two.registry.canaries_move = False
    run = parley(*PROMOTE)
    assert run.exit_code == Exit.INTERRUPTED
    assert "Follow it:  ./parley models watch m" in run.stderr
    assert "End it:     ./parley models rollback m" in run.stderr
    (promotion,) = two.registry.promotions.values()
    assert promotion.state == pb.PROMOTION_STATE_CANARY


def test_a_canary_is_shown_and_listed_while_it_runs(two, parley):
    """Its share, its step and how it does; an approval is another thing."""
    two.registry.canaries_move = False
    begun = parley(*PROMOTE, "--no-wait")
    assert begun.exit_code == Exit.OK
    assert begun.stdout.strip() in two.registry.promotions
    assert "./parley models watch m" in begun.stderr
    shown = parley("models", "show", "m").stdout
    words = "2 takes 1 % of the traffic (step 1 of 3): waiting until a replica has it ready"
    assert f"  canary     {words}" in shown
    assert "  traffic    1=99 2=1" in shown
    assert "waiting    2" not in shown
    assert "canary of 2" in parley("models", "list").stdout


def test_a_canary_is_watched_later(two, parley):
    """To its end, as if one had stayed; through a restart of the registry."""
    parley(*PROMOTE, "--no-wait")
    two.registry.interruptions = [errors.Unavailable("Going away.", reason="GOING_AWAY")] * 2
    run = parley("models", "watch", "m")
    assert (run.exit_code, run.stdout) == (Exit.OK, "m@2 is the champion.\n")
    none = parley("models", "watch", "m")
    assert none.exit_code == Exit.FAILED
    assert "m has no canary under way." in none.stderr
    assert "--canary 1,10,50,100" in none.stderr


def test_a_rollback_ends_a_canary(two, parley):
    """The champion takes all again; asking for it is no failure."""
    two.registry.canaries_move = False
    parley(*PROMOTE, "--no-wait")
    run = parley("models", "rollback", "m")
    assert (run.exit_code, run.stdout) == (Exit.OK, "m@2 was rolled back: ended by local\n")
    assert two.registry.models["m"].champion == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--canary", "1,ten,100"], "for example 1,10,50,100"),
        (["--canary", ""], "for example 1,10,50,100"),
        (["--canary", "0,100"], "for example 1,10,50,100"),
        (["--canary", "1,100", "--step", "soon"], "for example 60s or 5m"),
        (["--canary", "1,100", "--step", "0.5s"], "for example 60s or 5m"),
        (["--canary", "1,100", "--step", "25h"], "for example 60s or 5m"),
        (["--step", "60s"], "--canary 1,10,50,100"),
    ],
)
def test_options_that_are_none_are_refused(two, parley, options, words):
    """With an example of those that are, before anything is asked for."""
    run = parley("models", "promote", "m@2", *options)
    assert run.exit_code == Exit.USAGE
    assert words in " ".join(run.stderr.replace("│", " ").split())
    assert not two.registry.promotions


def test_steps_without_the_whole_are_refused_by_the_registry(two, parley):
    """In its words."""
    run = parley("models", "promote", "m@2", "--canary", "1,50")
    assert run.exit_code == Exit.FAILED
    assert "must rise and end with 100" in run.stderr


@pytest.mark.parametrize(
    ("text", "seconds"), [("60s", 60), ("90", 90), ("5m", 300), ("1.5h", 5400), ("24h", 86400)]
)
def test_times_are_read_as_people_write_them(text, seconds):
    """A number alone is seconds."""
    canary = canaries.asked("1,100", text)
    assert isinstance(canary, canary_pb2.Canary)
    assert canary.step_duration.seconds == seconds
