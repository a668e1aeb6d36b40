"""How a sequence begins again, what its reader hears of that, and whom the cache has room for."""

import pytest

from services.serving.engine import Format, Sampling, SequenceRequest
from services.serving.prefixes import BLOCK_TOKENS
from services.serving.sequences import GROWTH_BLOCKS, Diverged, Room, Sequence, blocks

HANDLE = object()


def begun(prompt_tokens: int, tokens: int = 0) -> Sequence:
    """One in the engine, with so many tokens of its answer."""
    sequence = Sequence([5] * prompt_tokens, {})
    sequence.begin(HANDLE)
    sequence.take([7] * tokens, [])
    return sequence


def test_a_reader_gets_each_token_once():
    """Begun again, what it has is left out, and in the midst of a message the rest is new."""
    sequence = Sequence([1, 2], {"logprobs": 1}, made_again=True)
    sequence.begin(HANDLE)
    assert sequence.take([10, 11, 12], [-1.0, -2.0, -3.0]) == ([10, 11, 12], [-1.0, -2.0, -3.0])
    sequence.make_way()
    sequence.begin(HANDLE)
    assert sequence.take([10, 11], [-1.0, -2.0]) == ([], [])
    assert sequence.take([12, 13], [-3.0, -4.0]) == ([13], [-4.0])
    assert sequence.take([14], [-5.0]) == ([14], [-5.0])


def test_log_probabilities_come_to_those_who_asked():
    """The engine has them for everybody."""
    sequence = Sequence([1], {"logprobs": 0})
    sequence.begin(HANDLE)
    assert sequence.take([10], [-1.0]) == ([10], [])


def test_another_answer_is_not_told_as_the_rest_of_the_first():
    """Whoever has read a beginning gets no end of something else."""
    sequence = Sequence([1], {}, made_again=True)
    sequence.begin(HANDLE)
    sequence.take([10, 11], [])
    sequence.make_way()
    sequence.begin(HANDLE)
    with pytest.raises(Diverged):
        sequence.take([10, 12], [])


def test_one_that_may_goes_on_behind_what_its_reader_has():
    """Of the engine's options only what is left changes, and the numbers that are drawn."""
    sequence = Sequence([1, 2], {"max_new_tokens": 9, "rng_seed": 5, "temperature": 0.5})
    sequence.begin(HANDLE)
    sequence.take([10, 11], [])
    sequence.make_way()
    assert sequence.prompt_ids == [1, 2, 10, 11]
    assert sequence.options == {"max_new_tokens": 7, "rng_seed": 7, "temperature": 0.5}
    sequence.begin(HANDLE)
    assert sequence.take([12], []) == ([12], [])


def test_one_that_begins_at_its_first_token_has_what_it_had():
    """Its seed's numbers come again, and as many tokens."""
    sequence = Sequence([1, 2], {"max_new_tokens": 9, "rng_seed": 5}, made_again=True)
    sequence.begin(HANDLE)
    sequence.take([10, 11], [])
    sequence.make_way()
    assert sequence.prompt_ids == [1, 2]
    assert sequence.options == {"max_new_tokens": 9, "rng_seed": 5}


@pytest.mark.parametrize(
    ("made_again", "asked"),
    [
        (False, {"sampling": Sampling(temperature=0), "repeatable": True}),
        (False, {"sampling": Sampling(repetition_penalty=1.2)}),
        (True, {"sampling": Sampling(), "repeatable": True}),
        (True, {"sampling": Sampling(temperature=0, presence_penalty=1)}),
        (True, {"sampling": Sampling(temperature=0, frequency_penalty=1)}),
        (True, {"sampling": Sampling(temperature=0), "format": Format("root ::= a")}),
    ],
)
def test_who_begins_at_the_first_token(made_again: bool, asked: dict[str, object]):
    """What counts from there: a seed that was asked for, penalties, a format."""
    assert SequenceRequest(1, [5], 4, **asked).made_again is made_again


@pytest.mark.parametrize("made_again", [False, True])
def test_how_far_it_was_outlives_a_new_beginning(made_again: bool):
    """So that it starts only where it gets further than before."""
    sequence = Sequence([5] * 3, {"max_new_tokens": 9}, made_again)
    sequence.begin(HANDLE)
    sequence.take([7] * 4, [])
    assert (sequence.length, sequence.reach) == (7, 7)
    sequence.make_way()
    sequence.begin(HANDLE)
    assert (sequence.length, sequence.reach) == (3 if made_again else 7, 7)


@pytest.mark.parametrize(("tokens", "count"), [(1, 1), (31, 1), (32, 1), (33, 2), (64, 2), (65, 3)])
def test_blocks_are_taken_whole(tokens: int, count: int):
    """A token more than a block takes another."""
    assert BLOCK_TOKENS == 32
    assert blocks(tokens) == count


def test_the_cache_holds_what_the_step_after_the_next_needs():
    """An answer at the end of its block is about to take another."""
    room = Room(2)
    assert room.holds([begun(20, tokens=11), begun(20, tokens=11)])
    assert not room.holds([begun(20, tokens=11), begun(20, tokens=12)])


def test_a_sequence_alone_fills_the_whole_cache():
    """Its last token but one still lets it stay: the last needs no place."""
    room = Room(2)
    assert room.admits(Sequence([5] * 63, {}), [], leaving=0)
    assert room.holds([begun(20, tokens=43)])


def test_one_starts_where_it_and_those_beside_it_can_grow():
    """Who has left keeps its blocks until the next step."""
    live, new = [begun(40, tokens=1)], Sequence([5] * 40, {})
    least = 2 + GROWTH_BLOCKS + 2
    assert Room(least).admits(new, live, leaving=0)
    assert not Room(least - 1).admits(new, live, leaving=0)
    assert not Room(least).admits(new, live, leaving=1)


def test_one_that_begins_again_waits_for_room_for_all_that_it_had():
    """Its prompt alone would fit, and it would leave again before anything new."""
    sequence = begun(20, tokens=50)
    assert not Room(2).admits(sequence, [], leaving=0)
    assert Room(3).admits(sequence, [], leaving=0)
