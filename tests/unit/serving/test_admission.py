"""The queue before the engine."""

from itertools import pairwise

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.rpc.errors import ResourceExhausted
from services.serving.admission import Admission, Limits, Ticket

LIMITS = Limits(running_max=2, sequences_max=4, tokens_max=100)


class Door:
    """An admission that is open, and the names of those that started."""

    def __init__(self) -> None:
        self.admission = Admission(LIMITS)
        self.started: list[str] = []
        self.admission.open()

    def enter(self, *costs: tuple[str, int]) -> list[Ticket]:
        """Enters a request of named sequences."""
        return self.admission.enter(
            [(cost, lambda name=name: self.started.append(name)) for name, cost in costs]
        )


@pytest.fixture
def door() -> Door:
    """An open door."""
    return Door()


def test_no_more_run_than_the_engine_takes(door):
    """The rest waits."""
    door.enter(("a", 1), ("b", 1), ("c", 1))
    assert door.started == ["a", "b"]
    assert (door.admission.running, door.admission.waiting) == (2, 1)


def test_those_who_wait_start_in_the_order_of_their_coming(door):
    """First in, first out."""
    first = door.enter(("a", 1), ("b", 1))
    door.enter(("c", 1))
    door.enter(("d", 1))
    for ticket in first:
        door.admission.leave(ticket)
    assert door.started == ["a", "b", "c", "d"]


@pytest.mark.parametrize("costs", [[("x", 1)] * 2, [("x", 60), ("y", 40)]])
def test_a_request_enters_whole_or_not_at_all(door, costs):
    """One sequence or one token too many refuses the whole request and takes nothing."""
    door.enter(("a", 1), ("b", 1), ("c", 1))
    with pytest.raises(ResourceExhausted):
        door.enter(*costs)
    assert (door.admission.running, door.admission.waiting, door.admission.tokens) == (2, 1, 3)
    assert door.started == ["a", "b"]


def test_the_bounds_themselves_are_allowed(door):
    """Exactly as much as the bounds say passes."""
    door.enter(("a", 25), ("b", 25))
    door.enter(("c", 25), ("d", 25))
    assert door.admission.tokens == LIMITS.tokens_max


@pytest.mark.parametrize("costs", [[("a", 101)], [(name, 1) for name in "abcde"]])
def test_an_oversize_request_passes_when_it_is_alone(door, costs):
    """What the bounds could never take is not refused for ever."""
    door.enter(*costs)
    assert door.started == ["a", "b"][: len(costs)]


def test_an_oversize_request_is_refused_beside_others(door):
    """It passes alone, not on top."""
    door.enter(("a", 1))
    with pytest.raises(ResourceExhausted):
        door.enter(("b", 101))


def test_leaving_twice_gives_back_once(door):
    """A second leave changes nothing, from the engine or from the queue."""
    tickets = door.enter(("a", 1), ("b", 1), ("c", 1))
    for ticket in [tickets[2], tickets[2], tickets[0], tickets[0]]:
        door.admission.leave(ticket)
    assert (door.admission.running, door.admission.waiting, door.admission.tokens) == (1, 0, 1)


def test_one_that_left_the_queue_never_starts(door):
    """Nothing is started for somebody who is gone."""
    first = door.enter(("a", 1), ("b", 1))
    (gone,) = door.enter(("c", 1))
    door.enter(("d", 1))
    door.admission.leave(gone)
    door.admission.leave(first[0])
    assert door.started == ["a", "b", "d"]


def test_a_closed_door_holds_what_comes_until_it_opens(door):
    """While the engine starts, requests wait instead of failing."""
    door.admission.close()
    door.enter(("a", 1))
    assert door.started == []
    door.admission.open()
    assert door.started == ["a"]


@pytest.mark.parametrize(("tokens", "seconds"), [(0, 100), (1, 1), (10**9, 1)])
def test_a_refusal_says_when_to_come_again(door, tokens, seconds):
    """Within 1 to 30 s, however slow or fast the engine has been."""
    door.enter(("a", 90))
    for _ in range(50):
        door.admission.observe(tokens, seconds)
    with pytest.raises(ResourceExhausted) as refusal:
        door.enter(("b", 90))
    assert refusal.value.reason == "QUEUE_FULL"
    assert 1 <= refusal.value.retry_after_s <= 30


def test_a_slower_engine_asks_for_a_longer_wait(door):
    """The guess follows the speed that was seen."""
    door.enter(("a", 90))
    waits_s = []
    for tokens in (1000, 20, 1):
        for _ in range(50):
            door.admission.observe(tokens, 1)
        with pytest.raises(ResourceExhausted) as refusal:
            door.enter(("b", 90))
        waits_s.append(refusal.value.retry_after_s)
    assert all(shorter < longer for shorter, longer in pairwise(waits_s))


class AnySequence(RuleBasedStateMachine):
    """Whatever is done in whatever order."""

    @initialize()
    def begin(self) -> None:
        """Starts closed, as a replica does."""
        self.admission = Admission(LIMITS)
        self.held: list[Ticket] = []
        self.gone: list[Ticket] = []
        self.started = 0
        self.closed = True

    @rule(costs=st.lists(st.integers(1, 60), min_size=1, max_size=6))
    def enter(self, costs: list[int]) -> None:
        """A request comes; a refused one takes nothing."""
        before = self.admission.tokens, self.admission.waiting, self.admission.running
        try:
            self.held += self.admission.enter([(cost, self.start) for cost in costs])
        except ResourceExhausted:
            now = self.admission.tokens, self.admission.waiting, self.admission.running
            assert now == before
            assert self.held

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """Somebody leaves."""
        ticket = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        self.gone.append(ticket)
        self.admission.leave(ticket)

    @precondition(lambda self: self.gone)
    @rule(data=st.data())
    def leave_again(self, data: st.DataObject) -> None:
        """Somebody leaves who has left."""
        self.admission.leave(data.draw(st.sampled_from(self.gone)))

    @rule()
    def open(self) -> None:
        """The engine is ready."""
        self.closed = False
        self.admission.open()

    @rule()
    def close(self) -> None:
        """The engine is gone."""
        self.closed = True
        self.admission.close()

    def start(self) -> None:
        """A sequence enters the engine."""
        assert not self.closed
        self.started += 1

    @invariant()
    def books_balance(self) -> None:
        """No more run than may, every token has its holder, and nobody waits beside a free slot."""
        admission = self.admission
        assert admission.running <= LIMITS.running_max
        assert admission.tokens == sum(ticket.tokens for ticket in self.held)
        assert admission.running == sum(ticket.running for ticket in self.held)
        assert admission.running + admission.waiting == len(self.held)
        assert self.closed or not admission.waiting or admission.running == LIMITS.running_max
        assert self.started == sum(ticket.running for ticket in self.held + self.gone)


TestAnySequence = AnySequence.TestCase


def test_an_answer_that_was_begun_elsewhere_waits_however_long():
    """Its caller has half of it; a new one is told to come back."""
    admission = Admission(Limits(1, 100, 1000, wait_s_max=1))
    admission.open()
    (first,) = admission.enter([(10, lambda: None)])
    for _ in range(2):
        admission.observe(tokens=10, seconds=1)
    admission.ended(tokens=20)
    with pytest.raises(ResourceExhausted):
        admission.enter([(10, lambda: None)])
    with pytest.raises(ResourceExhausted):
        admission.check(1)
    assert admission.enter([(10, lambda: None)], resumed=True)
    admission.leave(first)
    assert admission.running == 1
