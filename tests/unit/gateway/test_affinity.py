"""Which replica a conversation goes to, and what the facade remembers for that."""

import subprocess
import sys
from collections.abc import Mapping

import pytest

from gateway import affinity
from gateway.affinity import Affinity, Conversation, Seat, draw_of, prefer

CONVERSATION = Conversation("m", 1)
OTHER = Conversation("m", 2)


class Clock:
    """Seconds that pass when told."""

    now_s = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    """The time."""
    return Clock()


@pytest.fixture
def remembered(clock: Clock) -> Affinity:
    """A memory of 60 s that lets a holder be two calls busier."""
    return Affinity(margin=2, keep_s=60, now_s=clock)


@pytest.mark.parametrize(
    ("holder", "in_flight", "preferred"),
    [
        (None, {}, None),
        (None, {"a": 0}, None),
        ("a", {}, "a"),
        ("a", {"a": 0, "b": 0}, "a"),
        ("a", {"a": 2, "b": 0}, "a"),
        ("a", {"a": 3, "b": 0}, None),
        ("a", {"a": 9, "b": 7, "c": 8}, "a"),
        ("a", {"a": 9, "b": 9, "c": 6}, None),
        ("a", {"a": 50}, "a"),
        ("a", {"b": 5}, "a"),
    ],
)
def test_the_holder_is_preferred_while_it_is_not_much_busier(
    holder: str | None, in_flight: Mapping[str, int], preferred: str | None
) -> None:
    """Up to two calls more than the least busy one; alone, always; nobody without a holder."""
    assert prefer(holder, in_flight, margin=2) == preferred


def test_without_a_margin_only_the_least_busy_is_preferred() -> None:
    """Then affinity decides between equals alone."""
    assert prefer("a", {"a": 1, "b": 1}, margin=0) == "a"
    assert prefer("a", {"a": 1, "b": 0}, margin=0) is None


def test_who_answered_last_holds_the_conversation(remembered: Affinity) -> None:
    """Another one that answers takes it over, and other conversations stay where they are."""
    assert remembered.preferred(CONVERSATION) is None
    remembered.answers(CONVERSATION, "a")
    remembered.answers(OTHER, "a")
    remembered.answers(CONVERSATION, "b")
    assert remembered.preferred(CONVERSATION) == "b"
    assert remembered.preferred(OTHER) == "a"
    assert remembered.preferred(Conversation("other", 1)) is None


def test_conversations_are_forgotten_after_a_while(remembered: Affinity, clock: Clock) -> None:
    """Each answer renews it."""
    remembered.answers(CONVERSATION, "a")
    clock.now_s += 59
    remembered.answers(CONVERSATION, "a")
    clock.now_s += 59
    assert remembered.holder(CONVERSATION) == "a"
    clock.now_s += 1
    assert remembered.holder(CONVERSATION) is None


def test_only_so_many_conversations_are_remembered(
    remembered: Affinity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that was silent longest goes first."""
    monkeypatch.setattr(affinity, "CONVERSATIONS_MAX", 3)
    for draw in (1, 2, 3, 1, 4):
        remembered.answers(Conversation("m", draw), "a")
    held = [remembered.holder(Conversation("m", draw)) for draw in (1, 2, 3, 4)]
    assert held == ["a", None, "a", "a"]


def test_only_so_many_replicas_are_remembered(
    remembered: Affinity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names that come and go do not gather."""
    monkeypatch.setattr(affinity, "REPLICAS_MAX", 2)
    for name in ("a", "b", "a", "c"):
        remembered.answers(None, name)
    assert remembered.in_flight() == {"a": 0, "c": 0}


def test_a_replica_that_is_gone_is_no_measure(remembered: Affinity, clock: Clock) -> None:
    """It has no calls for ever, and must not make every other one look busy."""
    remembered.answers(None, "gone")
    clock.now_s += 61
    remembered.answers(CONVERSATION, "a")
    seats = [Seat(remembered, "a") for _ in range(5)]
    assert remembered.in_flight() == {"a": 5}
    assert remembered.preferred(CONVERSATION) == "a"
    assert len(seats) == 5


def test_without_time_nothing_is_remembered(clock: Clock) -> None:
    """The setting that switches affinity off."""
    off = Affinity(margin=2, keep_s=0, now_s=clock)
    off.answers(CONVERSATION, "a")
    assert off.preferred(CONVERSATION) is None


def test_calls_count_from_the_preference_to_their_end(remembered: Affinity) -> None:
    """Also when they came to another replica; an end counts once."""
    for name in ("a", "b"):
        remembered.answers(None, name)
    preferring, other = Seat(remembered, "a"), Seat(remembered, None)
    assert remembered.in_flight() == {"a": 1, "b": 0}
    preferring.move("b")
    other.move("b")
    assert remembered.in_flight() == {"a": 0, "b": 2}
    for seat in (preferring, preferring, other):
        seat.leave()
    assert remembered.in_flight() == {"a": 0, "b": 0}


def test_a_burst_of_one_conversation_spreads(remembered: Affinity) -> None:
    """Calls that come before any has begun do not all find its holder idle."""
    remembered.answers(CONVERSATION, "a")
    remembered.answers(None, "b")
    found = []
    for _ in range(6):
        found.append(remembered.preferred(CONVERSATION))
        Seat(remembered, found[-1])
    assert found == ["a"] * 3 + [None] * 3


def test_a_conversation_draws_the_same_in_every_process() -> None:
    """Two facades, and one that was started again, draw alike; keys differ in their draws."""
    code = "from gateway.affinity import draw_of; print(draw_of('a key'))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert int(told.stdout) == draw_of("a key") < 2**64
    assert draw_of("a key") != draw_of("another key")


def test_draws_are_even() -> None:
    """A version with a tenth of the weight gets about a tenth of the conversations."""
    low = sum(draw_of(f"conversation {number}") % 100 < 10 for number in range(10_000))
    assert 900 < low < 1100
