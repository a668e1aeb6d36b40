"""The queue before an engine that is asked for more than it can do, in simulated time."""

import random
from dataclasses import dataclass, field

import pytest

from services.rpc.errors import ResourceExhausted
from services.serving.admission import Admission, Limits

RUNNING_MAX = 16
TOKENS = 40
SPEED = 400.0  # tokens a second, shared by those that run
CAPACITY = SPEED / TOKENS
DEADLINE_S = 8.0
WAIT_S_MAX = 3.0
LEVEL_S = 60.0


@dataclass
class World:
    """An engine that samples one token of each sequence a step, and callers who do not wait for
    each other."""

    admission: Admission
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    now_s: float = 0.0
    seen_s: float = 0.0
    sampled: int = 0
    running: dict[int, int] = field(default_factory=dict)
    tickets: dict[int, object] = field(default_factory=dict)
    asked_s: dict[int, float] = field(default_factory=dict)
    good: int = 0
    hints_s: list[float] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)

    def run(self, times: float, seconds: float = LEVEL_S) -> float:
        """Good answers a second while requests come at so many times the capacity."""
        self.good, self.hints_s, self.waits_s = 0, [], []
        ends_s = self.now_s + seconds
        due_s = self.now_s
        while self.now_s < ends_s:
            while due_s <= self.now_s:
                self._ask()
                due_s += self.chance.expovariate(times * CAPACITY)
            self._step()
        return self.good / seconds

    def _ask(self) -> None:
        number, asked_s = len(self.asked_s), self.now_s
        self.asked_s[number] = asked_s

        def start() -> None:
            self.waits_s.append(self.now_s - asked_s)
            self.running[number] = TOKENS

        try:
            self.admission.check(1)
            (self.tickets[number],) = self.admission.enter([(2 * TOKENS, start)])
        except ResourceExhausted as refusal:
            self.hints_s.append(refusal.retry_after_s)

    def _step(self) -> None:
        self.now_s += max(len(self.running), 1) / SPEED
        self.sampled += len(self.running)
        for number in list(self.running):
            self.running[number] -= 1
            if not self.running[number]:
                del self.running[number]
                self.admission.leave(self.tickets[number])
                self.admission.ended(TOKENS)
                self.good += self.now_s - self.asked_s[number] <= DEADLINE_S
        if self.now_s - self.seen_s >= 1:
            self.admission.observe(self.sampled, self.now_s - self.seen_s)
            self.seen_s, self.sampled = self.now_s, 0


def world(wait_s_max: float = WAIT_S_MAX) -> World:
    """One whose engine has been full for a while, so that it is known."""
    limits = Limits(RUNNING_MAX, sequences_max=256, tokens_max=1 << 20, wait_s_max=wait_s_max)
    made = World(Admission(limits))
    made.admission.open()
    made.run(1.2, seconds=20)
    return made


@pytest.mark.parametrize("times", [2, 3, 5])
def test_an_overloaded_engine_works_for_those_who_still_wait(times):
    """It does nearly as many answers in time as it can, however many ask."""
    assert world().run(times) >= 0.8 * CAPACITY


def test_without_a_bound_on_waiting_most_of_its_work_is_late():
    """Why there is one: a bound on their number alone lets them wait for longer than they do."""
    assert world(wait_s_max=float("inf")).run(3) < 0.2 * CAPACITY


@pytest.mark.parametrize("times", [2, 5])
def test_nobody_is_taken_on_who_would_wait_too_long(times):
    """The guess is good to a third of the bound."""
    found = world()
    found.run(times)
    assert max(found.waits_s) <= WAIT_S_MAX * 4 / 3
    assert max(found.waits_s) >= WAIT_S_MAX * 2 / 3


def test_a_queue_that_stands_is_kept_short():
    """As many answers come in time; only nobody waits for what the burst before them left."""
    found = world()
    found.run(3)
    assert found.run(3) >= 0.95 * CAPACITY
    assert sorted(found.waits_s)[len(found.waits_s) // 2] <= WAIT_S_MAX / 3


def test_a_burst_that_ends_is_taken_on_after_an_overload():
    """A queue that has emptied may be as long again."""
    found = world()
    found.run(3)
    found.run(0.5, seconds=20)
    found.hints_s = []
    for _ in range(int(0.9 * WAIT_S_MAX * CAPACITY)):
        found._ask()
    assert not found.hints_s


def test_every_refusal_says_when_to_ask_again():
    """Within the bounds of the hint."""
    found = world()
    found.run(5)
    assert found.hints_s
    assert all(1 <= hint <= 30 for hint in found.hints_s)


def test_after_the_overload_everything_is_as_it_was():
    """Half a minute later nobody is refused, and nobody waits."""
    found = world()
    found.run(5)
    found.run(0.8, seconds=30)
    found.run(0.8)
    assert not found.hints_s
    assert sum(found.waits_s) / len(found.waits_s) < 0.5


def test_a_burst_into_an_idle_engine_is_taken_on():
    """One answer's speed is no measure of many: what is not known refuses nobody."""
    found = World(Admission(Limits(RUNNING_MAX, 256, 1 << 20, wait_s_max=WAIT_S_MAX)))
    found.admission.open()
    found.run(0.05)
    for _ in range(3 * RUNNING_MAX):
        found._ask()
    assert not found.hints_s
