"""The same seed asks the same questions and strikes the same blows."""

import itertools

import pytest

from bench.chaos.schedule import HOLDS_S, QUIET_S, Fault, plan_blows, read_faults
from bench.chaos.workload import QUESTIONS, draws, questions

REPLICAS = ("serving-0", "serving-1", "serving-2")
ALL = tuple(Fault)


@pytest.mark.parametrize("seed", range(5))
def test_a_seed_strikes_the_same(seed: int):
    """A failing run can be had again, and another seed is another run."""
    once = plan_blows(ALL, 600, REPLICAS, seed)
    assert once == plan_blows(ALL, 600, REPLICAS, seed)
    assert once != plan_blows(ALL, 600, REPLICAS, seed + 1)


def test_a_kill_comes_every_ten_seconds():
    """Ten minutes of kills are 59, and each replica is met."""
    blows = plan_blows([Fault.KILL], 600, REPLICAS, 0)
    assert len(blows) == 59
    assert {blow.program for blow in blows} == set(REPLICAS)
    assert {b.at_s - a.at_s for a, b in itertools.pairwise(blows)} == {QUIET_S}


def test_each_fault_comes_before_any_comes_again():
    """No kind is left to luck."""
    kinds = [blow.fault for blow in plan_blows(ALL, 3600, REPLICAS, 3)]
    rounds = [kinds[at : at + len(ALL)] for at in range(0, len(kinds), len(ALL))]
    assert len(rounds) > 2
    assert all(sorted(one) == sorted(ALL) for one in rounds[:-1])


def test_a_fault_is_over_before_the_next_one():
    """One at a time, with quiet between, and the last one inside of the run."""
    blows = plan_blows(ALL, 900, REPLICAS, 2)
    for blow, following in itertools.pairwise(blows):
        assert blow.hold_s == HOLDS_S.get(blow.fault, 0)
        assert following.at_s >= blow.at_s + blow.hold_s + QUIET_S
    assert blows[-1].at_s + blows[-1].hold_s < 900


def test_faults_of_a_whole_program_name_it():
    """What is no replica is struck by its own name."""
    blows = plan_blows([Fault.ENVOY, Fault.MESH, Fault.GATEWAY], 60, REPLICAS, 0)
    assert {blow.fault: blow.program for blow in blows} == {
        Fault.ENVOY: "envoy",
        Fault.MESH: "mesh",
        Fault.GATEWAY: "gateway",
    }


@pytest.mark.parametrize("text", ["", "kill,kill", "kill,earthquake", ","])
def test_wrong_names_are_refused_with_the_right_ones(text: str):
    """Whoever mistypes a fault learns which there are."""
    with pytest.raises(ValueError, match="there are kill, term, stop"):
        read_faults(text)


def test_names_are_read():
    """Spaces do not matter, the order stays."""
    assert read_faults("stop, kill") == (Fault.STOP, Fault.KILL)


def test_a_seed_asks_the_same():
    """Questions and who asks which are the seed's, and clients differ."""
    asked = questions(4, "talkative")
    assert asked == questions(4, "talkative")
    assert asked != questions(5, "talkative")
    assert len(asked) == QUESTIONS
    first, again, other = (
        list(itertools.islice(draws(4, client, asked), 50)) for client in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_each_question_has_one_right_answer():
    """Greedy, or sampled with a seed: nothing else could be compared."""
    for question in questions(0, "talkative"):
        assert question.body["temperature"] == 0 or "seed" in question.body
