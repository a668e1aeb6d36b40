"""Who may be read at once and who may leave, so that kept blocks hold what they say."""

import pytest

from services.serving.prefixes import Prefixes

SHARED = list(range(100, 170))
"""Two whole blocks, and six tokens of a third."""


def follow(first: int, tokens: int = 40) -> list[int]:
    """Another way to go on."""
    return list(range(first, first + tokens))


@pytest.fixture
def prefixes() -> Prefixes:
    """Nothing read so far."""
    return Prefixes(ends_max=100)


def answered(prefixes: Prefixes, sequence_id: int, prompt: list[int], answer: list[int]) -> None:
    """One sequence from its prompt to its end."""
    prefixes.started(sequence_id, prompt)
    prefixes.stepped([(sequence_id, answer, True)])


def test_ways_to_go_on_from_a_kept_beginning_are_read_one_by_one(prefixes: Prefixes) -> None:
    """The second waits until the first has its first token."""
    answered(prefixes, 1, SHARED[:66], SHARED[66:])
    prefixes.started(2, SHARED + follow(1000))
    assert prefixes.must_wait(SHARED + follow(2000))
    prefixes.stepped([])
    assert prefixes.must_wait(SHARED + follow(2000))
    prefixes.stepped([(2, [5], False)])
    assert not prefixes.must_wait(SHARED + follow(2000))


def test_the_last_token_of_an_answer_was_not_read(prefixes: Prefixes) -> None:
    """The kept block ends before it, so that ways may part at it."""
    answered(prefixes, 1, SHARED, [7, 8])
    prefixes.started(2, [*SHARED, 7, 9, *follow(1000)])
    assert prefixes.must_wait([*SHARED, 7, 8, *follow(2000)])


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(SHARED + follow(1000), id="the same"),
        pytest.param(SHARED[:64] + follow(2000), id="parts between blocks"),
        pytest.param(follow(2000), id="parts at once"),
        pytest.param(SHARED[:40] + follow(2000), id="parts in a block that was whole"),
        pytest.param(SHARED[:66] + follow(2000), id="parts before the kept beginning's end"),
    ],
)
def test_what_shares_no_half_full_block_is_read_at_once(
    prefixes: Prefixes, other: list[int]
) -> None:
    """A burst of prompts costs no time where there is no danger."""
    answered(prefixes, 1, SHARED, [7])
    prefixes.started(2, SHARED + follow(1000))
    assert not prefixes.must_wait(other)


def test_without_a_kept_beginning_all_are_read_at_once(prefixes: Prefixes) -> None:
    """A shared system prompt alone is no danger."""
    prefixes.started(1, SHARED + follow(1000))
    assert not prefixes.must_wait(SHARED + follow(2000))


def test_ways_to_go_on_from_what_is_being_read_wait_for_it(prefixes: Prefixes) -> None:
    """The engine has a block for a prompt's end before it has read that far."""
    prefixes.started(1, SHARED)
    assert prefixes.must_wait(SHARED + follow(1000))
    assert not prefixes.must_wait(SHARED)
    prefixes.stepped([(1, [7], False)])
    assert not prefixes.must_wait(SHARED + follow(1000))


def test_a_prompt_that_ends_with_a_block_is_parted_from_a_step_later(prefixes: Prefixes) -> None:
    """Until its second token the engine knows its last block by what that held when it was lent."""
    answered(prefixes, 1, SHARED, [7])
    prefixes.started(2, SHARED + follow(1000, 26))
    prefixes.stepped([(2, [5], False)])
    assert prefixes.must_wait(SHARED + follow(2000))
    prefixes.stepped([(2, [6], False)])
    assert not prefixes.must_wait(SHARED + follow(2000))


def test_a_prompt_that_ends_with_a_block_and_one_token_holds_nobody_up(prefixes: Prefixes) -> None:
    """Nobody would tell the others that it is over."""
    answered(prefixes, 1, SHARED, [7])
    answered(prefixes, 2, SHARED + follow(1000, 26), [5])
    assert not prefixes.must_wait(SHARED + follow(2000))


def test_an_answer_in_the_making_counts_as_kept(prefixes: Prefixes) -> None:
    """Its last block may be lent as it is at any moment."""
    prefixes.started(1, SHARED)
    prefixes.stepped([(1, [7], False)])
    prefixes.started(2, SHARED + follow(1000))
    assert prefixes.must_wait(SHARED + follow(2000))


def test_a_beginning_that_was_lent_by_an_answer_stays_kept(prefixes: Prefixes) -> None:
    """Also when the answer has gone on, and ended, in whole blocks."""
    prefixes.started(1, SHARED)
    prefixes.stepped([(1, [7], False)])
    prefixes.started(2, SHARED + follow(1000))
    prefixes.left(2)
    prefixes.stepped([(1, follow(3000, 96), True)])
    prefixes.started(3, SHARED + follow(1000))
    assert prefixes.must_wait(SHARED + follow(2000))


def test_old_beginnings_are_forgotten() -> None:
    """As many are remembered as the engine could have kept, and more."""
    prefixes = Prefixes(ends_max=4)
    answered(prefixes, 1, SHARED, [7])
    for number in range(2, 5):
        answered(prefixes, number, follow(1000 * number), [7])
    prefixes.started(9, SHARED + follow(1000))
    assert not prefixes.must_wait(SHARED + follow(2000))


def test_only_the_prompt_that_is_being_read_must_stay(prefixes: Prefixes) -> None:
    """Those behind it were not begun, and what has just brought a token is read to its end."""
    prefixes.started(1, follow(1, 500))
    prefixes.started(2, follow(600, 500))
    assert prefixes.may_leave(1)  # nothing has been read yet
    prefixes.stepped([])
    assert not prefixes.may_leave(1)
    assert prefixes.may_leave(2)
    prefixes.stepped([(1, [5], False)])
    assert prefixes.may_leave(1)
    assert not prefixes.may_leave(2)


def test_an_answer_that_was_put_off_must_stay(prefixes: Prefixes) -> None:
    """It may be half read again; its next token says that it is not."""
    prefixes.started(1, SHARED)
    prefixes.stepped([(1, [5], False)])
    prefixes.stepped([])
    assert not prefixes.may_leave(1)
    prefixes.stepped([(1, [6], False)])
    assert prefixes.may_leave(1)


def test_who_left_holds_nobody_up(prefixes: Prefixes) -> None:
    """Neither those that wait to be read nor those that want to leave."""
    answered(prefixes, 1, SHARED, [7])
    prefixes.started(2, SHARED + follow(1000))
    prefixes.started(3, follow(5000))
    prefixes.stepped([])
    prefixes.left(2)
    assert not prefixes.must_wait(SHARED + follow(2000))
    assert not prefixes.may_leave(3)
