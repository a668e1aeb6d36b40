"""New formats go to the engine one at a time."""

from services.serving.engine import Format, Sampling, SequenceRequest
from services.serving.trial import PROVEN_MAX, Trial

A, B = Format("root ::= a"), Format("root ::= b")


def sequence(number: int, form: Format | None = None) -> SequenceRequest:
    """A sequence with a format or without."""
    return SequenceRequest(number, [1], 1, Sampling(), format=form)


def test_what_has_no_format_never_waits():
    """A trial holds up nobody else."""
    trial = Trial()
    assert trial.enter(sequence(1, A))
    assert trial.enter(sequence(2))
    assert trial.trying == 1


def test_the_next_new_format_waits_for_the_word_on_the_first():
    """So a death between is the first one's doing."""
    trial = Trial()
    assert trial.enter(sequence(1, A))
    assert not trial.enter(sequence(2, B))
    assert not trial.enter(sequence(3, A))
    assert [one.id for one in trial.settle(1, proven=True)] == [2, 3]
    assert trial.trying == 2


def test_a_proven_format_goes_at_once():
    """Even while another is tried."""
    trial = Trial()
    trial.enter(sequence(1, A))
    trial.settle(1, proven=True)
    assert trial.trying is None
    assert trial.enter(sequence(2, B))
    assert trial.enter(sequence(3, A))


def test_a_format_whose_trial_broke_off_is_tried_again():
    """A caller that left says nothing of its format."""
    trial = Trial()
    trial.enter(sequence(1, A))
    assert trial.settle(1, proven=False) == []
    assert trial.enter(sequence(2, A))
    assert trial.trying == 2


def test_only_the_word_on_the_trial_counts():
    """Progress of others settles nothing."""
    trial = Trial()
    trial.enter(sequence(1, A))
    trial.enter(sequence(2, B))
    assert trial.settle(7, proven=True) == []
    assert trial.trying == 1


def test_a_held_sequence_can_leave():
    """It never goes to the engine; one that went already cannot be held back."""
    trial = Trial()
    trial.enter(sequence(1, A))
    trial.enter(sequence(2, B))
    assert trial.drop(2)
    assert not trial.drop(2)
    assert not trial.drop(1)
    assert trial.settle(1, proven=True) == []


def test_a_death_forgets_what_was_on_its_way():
    """But not which formats are known to compile."""
    trial = Trial()
    trial.enter(sequence(1, A))
    trial.settle(1, proven=True)
    trial.enter(sequence(2, B))
    trial.enter(sequence(3, Format("root ::= c")))
    trial.clear()
    assert trial.trying is None
    assert trial.settle(2, proven=True) == []
    assert trial.enter(sequence(4, A))
    assert trial.trying is None


def test_memory_is_bounded():
    """The oldest of many formats is tried again."""
    trial = Trial()
    for number in range(PROVEN_MAX + 1):
        trial.enter(sequence(number, Format(f"root ::= {number}")))
        trial.settle(number, proven=True)
    assert trial.enter(sequence(-1, Format("root ::= 0")))
    assert trial.trying == -1
