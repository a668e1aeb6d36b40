"""A canary from step to step, by looks at a mesh, without a clock or a database."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from services.registry.canary.figures import Counts, Phase, Report, Window
from services.registry.canary.judging import Limits
from services.registry.canary.steps import (
    Canary,
    Decision,
    Look,
    Outcome,
    advance,
    begin,
    check_steps,
    decide,
    from_canary,
    to_canary,
)
from services.rpc.errors import InvalidArgument

CHAMPION, NUMBER = 1, 2
LIMITS = Limits(answers_min=20, ready_s=30, failed_s=5, idle_s=100, blind_s=15)
BEGAN_S = 1000.0


class Mesh:
    """Two replicas' worth of reports, and a canary that looks at them each second."""

    def __init__(self, steps: Sequence[int] = (10, 100), duration_s: float = 5) -> None:
        self.canary = begin(Canary(tuple(steps), duration_s), BEGAN_S)
        self.now_s = BEGAN_S
        self.phases = {"a": Phase.READY, "b": Phase.LOADING}
        self.counts = {CHAMPION: Counts(), NUMBER: Counts()}
        self.present = True

    def answer(self, number: int, answers: int, failed: int = 0, slowness: float = 1) -> None:
        """Counts answers on the first replica."""
        self.counts[number] += Counts(
            answers - failed,
            failed,
            answers,
            answers * 0.1 * slowness,
            answers * 20,
            answers * 0.4 * slowness,
        )

    def look(self, seconds: float = 1) -> Decision:
        """Decides after some seconds, and moves the canary as the driver would."""
        self.now_s += seconds
        reports = [
            Report("a", CHAMPION, Phase.READY, self.counts[CHAMPION], time_s=self.now_s),
            *(
                Report(
                    name,
                    NUMBER,
                    phase,
                    self.counts[NUMBER] if name == "a" else Counts(),
                    f"{name} has no room" if phase is Phase.FAILED else "",
                    time_s=self.now_s,
                    present=self.present,
                )
                for name, phase in self.phases.items()
            ),
        ]
        return self._take(Look(reports, self.now_s))

    def look_away(self, seconds: float, blind_s: float) -> Decision:
        """Decides while the mesh does not answer."""
        self.now_s += seconds
        return self._take(Look(None, self.now_s, blind_s))

    def _take(self, look: Look) -> Decision:
        decision = decide(self.canary, CHAMPION, NUMBER, look, LIMITS)
        self.canary = decision.canary
        if decision.outcome is Outcome.ADVANCE:
            self.canary = advance(self.canary, self.now_s, LIMITS.answers_min)
        return decision


@pytest.mark.parametrize("steps", [[], [1, 50], [100, 100], [50, 10, 100], [0, 100], [10, 10, 100]])
def test_steps_rise_to_the_whole(steps: list[int]):
    """Others are refused with an example of what is meant."""
    check_steps([100])
    check_steps([1, 10, 50, 100])
    with pytest.raises(InvalidArgument, match="for example 1,10,50,100"):
        check_steps(steps)


def test_a_good_version_goes_to_the_end():
    """Step by step, each for its time; the last one ends in the promotion."""
    mesh, outcomes = Mesh((1, 10, 100)), []
    mesh.look()
    for _ in range(18):
        mesh.answer(CHAMPION, 50)
        mesh.answer(NUMBER, 20)
        decision = mesh.look()
        if decision.outcome is not Outcome.HOLD:
            outcomes.append((decision.outcome, decision.canary.weight, mesh.now_s - BEGAN_S))
        if decision.outcome is Outcome.CARRY_OUT:
            break
    assert outcomes == [
        (Outcome.ADVANCE, 1, 6),
        (Outcome.ADVANCE, 10, 11),
        (Outcome.CARRY_OUT, 100, 16),
    ]


@pytest.mark.parametrize("bad", [{"failed": 3}, {"slowness": 3}])
def test_a_bad_version_rolls_back_at_once(bad: dict[str, float]):
    """Without waiting for the step's end, with the figures."""
    mesh = Mesh()
    mesh.look()
    mesh.answer(CHAMPION, 50)
    mesh.answer(NUMBER, 20, **bad)
    decision = mesh.look()
    assert decision.outcome is Outcome.ROLL_BACK
    assert decision.canary.verdict.startswith("worse than the champion: ")
    assert decision.canary.evidence["weight"] == 10
    assert decision.canary.evidence["canary"]["answers"] == 20


def test_the_first_step_begins_when_a_replica_can_answer():
    """Loading takes the time that it takes, and is nobody's evidence."""
    mesh = Mesh()
    mesh.phases["a"] = Phase.LOADING
    assert mesh.look(20).canary.verdict == "waiting until a replica has it ready"
    mesh.phases["a"] = Phase.READY
    assert mesh.look().canary.step_s == BEGAN_S + 21
    mesh.answer(NUMBER, 20)
    assert mesh.look(3).canary.step_s == BEGAN_S + 21
    assert mesh.look(2).outcome is Outcome.ADVANCE


def test_what_the_champion_did_alone_is_not_held_against_a_version():
    """It had the machine to itself while the version was loading; two that answer share it."""
    mesh = Mesh()
    mesh.phases["a"] = Phase.LOADING
    mesh.look()
    mesh.answer(CHAMPION, 500)
    mesh.look()
    mesh.phases["a"] = Phase.READY
    mesh.look()
    mesh.answer(CHAMPION, 60, slowness=3)
    mesh.answer(NUMBER, 20, slowness=3)
    decision = mesh.look()
    assert decision.outcome is Outcome.HOLD
    assert decision.canary.evidence["champion"]["answers"] == 60


def test_failures_count_from_the_first_look_that_finds_it_ready():
    """An answer may fail between two looks, in the first of which nothing was ready yet."""
    mesh = Mesh()
    mesh.phases["a"] = Phase.LOADING
    mesh.look()
    mesh.phases["a"] = Phase.READY
    mesh.answer(NUMBER, 2, failed=2)
    mesh.look()
    mesh.answer(CHAMPION, 60)
    mesh.answer(NUMBER, 2, failed=2)
    assert mesh.look().outcome is Outcome.ROLL_BACK


def test_a_version_that_is_never_ready_rolls_back():
    """After a bound, also where no replica says anything of it."""
    mesh = Mesh()
    mesh.phases = {}
    assert mesh.look(30).outcome is Outcome.HOLD
    decision = mesh.look()
    assert decision.outcome is Outcome.ROLL_BACK
    assert decision.canary.verdict == "no replica had it ready for 31 s"


def test_a_version_that_was_ready_has_as_long_again():
    """An engine may be started again; it may not stay away."""
    mesh = Mesh((10, 100), 1000)
    mesh.look(25)
    mesh.phases = {"a": Phase.LOADING}
    assert mesh.look(30).outcome is Outcome.HOLD
    assert mesh.look().outcome is Outcome.ROLL_BACK


def test_a_version_that_fails_everywhere_rolls_back_soon():
    """In the replica's words; one replica that still tries is enough to wait."""
    mesh = Mesh()
    mesh.phases = {"a": Phase.FAILED, "b": Phase.LOADING}
    assert mesh.look(10).outcome is Outcome.HOLD
    mesh.phases["b"] = Phase.FAILED
    decision = mesh.look()
    assert decision.outcome is Outcome.ROLL_BACK
    assert decision.canary.verdict == "it failed on every replica: a has no room"


def test_a_mesh_that_has_just_begun_is_not_believed_at_once():
    """The first replica that joins it again may be the only one on which the version fails."""
    mesh = Mesh()
    mesh.look()
    mesh.phases = {"a": Phase.FAILED}
    assert mesh.look(5).outcome is Outcome.HOLD
    mesh.phases = {"a": Phase.FAILED, "b": Phase.READY}
    assert mesh.look().canary.window.ready_s == mesh.now_s
    mesh.phases["b"] = Phase.FAILED
    assert mesh.look(5).outcome is Outcome.HOLD
    assert mesh.look().outcome is Outcome.ROLL_BACK


def test_replicas_that_have_left_are_only_counted():
    """That they had it ready is no longer so; what they answered is."""
    mesh = Mesh()
    mesh.look()
    mesh.answer(NUMBER, 5)
    mesh.present = False
    decision = mesh.look()
    assert decision.canary.verdict == "waiting until a replica has it ready"
    assert decision.canary.window.canary.answers == 5


def test_too_few_answers_hold_a_step():
    """It says so, and goes on by itself once there are enough."""
    mesh = Mesh()
    mesh.look()
    mesh.answer(NUMBER, 19)
    decision = mesh.look(50)
    assert decision.outcome is Outcome.HOLD
    assert decision.canary.verdict.startswith("held: 19 answers, none failed")
    mesh.answer(NUMBER, 1)
    assert mesh.look().outcome is Outcome.ADVANCE


@pytest.mark.parametrize(
    ("answers", "failed", "outcome"),
    [(0, 0, Outcome.ROLL_BACK), (1, 0, Outcome.ADVANCE), (5, 1, Outcome.ROLL_BACK)],
)
def test_a_step_is_not_held_for_ever(answers: int, failed: int, outcome: Outcome):
    """Some answers and none bad go on to a larger share; none at all prove nothing."""
    mesh = Mesh()
    mesh.look()
    mesh.answer(NUMBER, answers, failed)
    assert mesh.look(100).outcome is Outcome.HOLD
    decision = mesh.look(6)
    assert decision.outcome is outcome
    if outcome is Outcome.ROLL_BACK:
        assert "the step was held for 101 s" in decision.canary.verdict


def test_at_the_whole_the_champion_is_compared_as_it_was():
    """It answers no more, so its figures of the step before count."""
    mesh = Mesh()
    mesh.look()
    mesh.answer(CHAMPION, 50)
    mesh.answer(NUMBER, 20)
    assert mesh.look(5).outcome is Outcome.ADVANCE
    mesh.answer(NUMBER, 20, slowness=3)
    assert mesh.look().outcome is Outcome.ROLL_BACK


def test_a_mesh_that_is_away_holds_for_a_while():
    """As long as this process and the last look both know nothing, up to a bound."""
    mesh = Mesh()
    mesh.look()
    assert mesh.look_away(16, blind_s=2).outcome is Outcome.HOLD
    assert mesh.look_away(0, blind_s=15).outcome is Outcome.HOLD
    decision = mesh.look_away(0, blind_s=16)
    assert decision.outcome is Outcome.ROLL_BACK
    assert "the mesh has not answered for 16 s" in decision.canary.verdict


def test_a_registry_that_comes_back_late_judges_all_that_came():
    """Counters went on while it was down; nothing is lost, and nothing is taken on trust."""
    mesh = Mesh()
    mesh.look()
    mesh.answer(NUMBER, 400, failed=40)
    assert mesh.look(3600).outcome is Outcome.ROLL_BACK


def test_a_canary_survives_its_row():
    """With its window and its evidence."""
    mesh = Mesh()
    mesh.look()
    mesh.answer(NUMBER, 9)
    canary = replace(mesh.look().canary, mirror=3)
    assert canary.window != Window()
    assert to_canary(json.loads(json.dumps(from_canary(canary)))) == canary
    assert to_canary(None) is None
