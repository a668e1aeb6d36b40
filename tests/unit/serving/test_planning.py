"""What a replica does next."""

import random

import pytest

from services.serving.planning import Fetch, Held, Load, Refuse, Revive, Unload, plan
from services.serving.routing import Phase
from tests.fakes.source import key, state, table

BUDGET = 100
STORED, READY, LOADING = Phase.STORED, Phase.READY, Phase.LOADING
ONE, TWO, THREE = key(1), key(2), key(3)


def planned(wanted, held, active=(), budget=BUDGET):
    """Plans with versions that take 40 of 100 each, unless told otherwise."""
    known = {
        one: phase if isinstance(phase, Held) else Held(phase, 40) for one, phase in held.items()
    }
    return plan(state(wanted), known, active, budget)


def test_what_is_wanted_is_fetched_then_loaded():
    """Step by step."""
    wanted = table({1: 100})
    assert planned(wanted, {}) == [Fetch(ONE)]
    assert planned(wanted, {ONE: Phase.FETCHING}) == []
    assert planned(wanted, {ONE: STORED}) == [Load(ONE)]
    assert planned(wanted, {ONE: LOADING}) == []
    assert planned(wanted, {ONE: READY}) == []


def test_the_old_version_stays_until_the_new_one_is_in_force():
    """Make before break."""
    wanted = table({2: 100})
    assert planned(wanted, {ONE: READY, TWO: STORED}, {ONE}) == [Load(TWO)]
    assert planned(wanted, {ONE: READY, TWO: LOADING}, {ONE}) == []
    assert planned(wanted, {ONE: READY, TWO: READY}, {TWO}) == [Unload(ONE)]


def test_the_predecessor_stands_by_where_memory_allows():
    """It is loaded last, and only if it fits."""
    wanted = table({2: 100}, standby=[1])
    assert planned(wanted, {}) == [Fetch(TWO)]
    assert planned(wanted, {TWO: LOADING}, {TWO}) == []
    assert planned(wanted, {TWO: READY}, {TWO}) == [Fetch(ONE)]
    assert planned(wanted, {TWO: READY, ONE: STORED}, {TWO}) == [Load(ONE)]
    assert planned(wanted, {TWO: READY, ONE: STORED}, {TWO}, budget=70) == []
    assert planned(wanted, {TWO: READY, ONE: READY}, {TWO}) == []


def test_standby_makes_room_for_what_is_needed():
    """Unloaded first, and nothing is loaded before the room is there."""
    wanted = table({2: 50, 3: 50}, standby=[1])
    before = {ONE: READY, TWO: READY, THREE: STORED}
    assert planned(wanted, before, {TWO}) == [Unload(ONE)]
    assert planned(wanted, before | {ONE: Phase.DRAINING}, {TWO}) == []
    assert planned(wanted, {ONE: STORED, TWO: READY, THREE: STORED}, {TWO}) == [Load(THREE)]


def test_what_nobody_wants_makes_room_before_standby_does():
    """The least useful goes first, and no more than must."""
    wanted = table({3: 100}, standby=[2])
    held = {TWO: READY, ONE: READY, THREE: STORED}
    assert planned(wanted, held, budget=120) == [Load(THREE), Unload(ONE)]
    assert planned(wanted, held) == [Unload(ONE)]


def test_what_cannot_fit_is_refused_with_the_figures():
    """And the old version goes on."""
    wanted = table({2: 100}, standby=[1])
    gib = 1 << 30
    held = {ONE: Held(READY, gib), TWO: Held(STORED, 2 * gib)}
    (refused,) = planned(wanted, held, {ONE}, budget=int(2.5 * gib))
    assert isinstance(refused, Refuse)
    assert refused.key == TWO
    for figure in ("2.00 GiB", "2.50 GiB", "1.00 GiB"):
        assert figure in refused.detail


def test_what_fails_holds_nothing_up():
    """It is left alone until it is tried again, and standby is loaded all the same."""
    wanted = table({2: 50, 3: 50}, standby=[1])
    held = {TWO: READY, THREE: Held(Phase.FAILED)}
    assert planned(wanted, held, {TWO}) == [Fetch(ONE)]


def test_a_version_on_its_way_out_is_kept_when_it_is_wanted_again():
    """A rollback in time costs nothing."""
    assert planned(table({1: 100}), {ONE: Phase.DRAINING}) == [Revive(ONE)]
    assert planned(table({1: 100}), {ONE: Phase.CLOSING}) == []


def test_the_mirror_is_loaded_too():
    """After what takes traffic."""
    assert planned(table({1: 100}, mirror=2), {}) == [Fetch(ONE), Fetch(TWO)]


def test_without_a_budget_everything_fits():
    """A folder's one model is loaded whatever its size."""
    assert planned(table({1: 100}), {ONE: Held(STORED, 1 << 60)}, budget=None) == [Load(ONE)]


class World:
    """Versions of one size that do at once what is planned."""

    def __init__(self, budget):
        self.held: dict = {}
        self.budget = budget

    def do(self, action):
        """Carries out one action, and what follows by itself."""
        match action:
            case Fetch(one):
                self.held[one] = Held(STORED, 40)
            case Load(one):
                assert sum(h.memory_bytes for h in self.held.values() if h.phase is READY) + 40 <= (
                    self.budget
                )
                self.held[one] = Held(READY, 40)
            case Unload(one):
                self.held[one] = Held(STORED, 40)

    def settle(self, wanted, active):
        """Plans and does until there is nothing to do; says whether it ends."""
        for _ in range(50):
            actions = [
                action
                for action in plan(state(wanted), self.held, active, self.budget)
                if not isinstance(action, Refuse)
            ]
            if not actions:
                return True
            for action in actions[:1]:
                self.do(action)
        return False


@pytest.mark.parametrize("seed", range(200))
def test_plans_come_to_an_end_and_keep_what_takes_traffic(seed):
    """Whatever is wanted next: no version goes in circles, none is loaded over the budget, and
    none that requests go to is unloaded."""
    dice = random.Random(seed)
    world, active = World(dice.choice([40, 80, 120, 200])), set()
    for _ in range(6):
        numbers = dice.sample(range(1, 6), 3)
        wanted = table({numbers[0]: 100}, standby=numbers[1 : dice.choice([1, 2, 3])])
        assert world.settle(wanted, active)
        ready = {one for one, held in world.held.items() if held.phase is READY}
        assert active <= ready
        if key(numbers[0]) in ready:
            active = {key(numbers[0])}
        assert world.settle(wanted, active)
