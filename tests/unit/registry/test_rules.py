"""The rules of changes, without a database."""

import pytest

from services.registry import rules
from services.registry.model import (
    Model,
    Policy,
    Promotion,
    PromotionState,
    Traffic,
)
from services.rpc.errors import (
    Aborted,
    FailedPrecondition,
    InvalidArgument,
    PermissionDenied,
)

POLICY = Policy(approvers=("ada", "bob"))
MODEL = Model("m", champion=2, predecessor=1, traffic=Traffic({2: 90, 3: 10}, mirror=4))


def promotion(state: PromotionState = PromotionState.WAITING) -> Promotion:
    """A promotion that ada asked for."""
    return Promotion("id", "m", 3, state, "ada", "", 2)


def test_the_expected_champion_must_be_the_champion():
    """Zero stands for none, and is no wildcard."""
    rules.check_expected(MODEL, 2)
    for expected in (0, 1, 3):
        with pytest.raises(Aborted):
            rules.check_expected(MODEL, expected)


@pytest.mark.parametrize(
    ("state", "principal", "error"),
    [
        (PromotionState.WAITING, "ada", PermissionDenied),
        (PromotionState.WAITING, "eve", PermissionDenied),
        (PromotionState.DONE, "bob", FailedPrecondition),
        (PromotionState.REJECTED, "bob", FailedPrecondition),
        (PromotionState.DONE, "eve", PermissionDenied),
    ],
)
def test_who_may_answer(state: PromotionState, principal: str, error: type[Exception]):
    """Another approver, once; a stranger is not even told how it stands."""
    rules.check_answer(POLICY, promotion(), "bob")
    with pytest.raises(error):
        rules.check_answer(POLICY, promotion(state), principal)


@pytest.mark.parametrize(
    "traffic",
    [Traffic(), Traffic({1: 99}), Traffic({1: 100, 2: 1}), Traffic({1: 100}, 1), Traffic({}, 2)],
)
def test_traffic_must_add_up(traffic: Traffic):
    """Everything goes somewhere, once, and the mirror is another version."""
    rules.check_traffic(Traffic({1: 60, 2: 40}, 3))
    with pytest.raises(InvalidArgument):
        rules.check_traffic(traffic)


def test_what_something_relies_on_is_in_use():
    """The four uses, and nothing else."""
    assert MODEL.used == {1, 2, 3, 4}
    for number in MODEL.used:
        with pytest.raises(FailedPrecondition):
            rules.check_unused(MODEL, number)
    rules.check_unused(MODEL, 5)


def test_a_champion_takes_all_traffic():
    """Old weights and mirrors belong to the old champion."""
    changed = rules.with_champion(MODEL, 3, 2)
    assert (changed.champion, changed.predecessor, changed.traffic) == (3, 2, Traffic({3: 100}))


def test_waiting_promotions_are_bounded():
    """Nobody can pile up wishes without end."""
    rules.check_room(rules.WAITING_MAX - 1)
    with pytest.raises(FailedPrecondition):
        rules.check_room(rules.WAITING_MAX)
