"""Automata agree with Python's own matcher, and know their bounds."""

import re
import time

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from services.serving.automaton import PARTS_MAX, STATES_MAX, Automaton, AutomatonError, State
from services.serving.regex_grammar import GrammarError, regex_states

LETTERS = st.sampled_from("abc")
PATTERNS = st.recursive(
    st.sampled_from(["a", "b", "ab", "[ab]", "[^c]", ".", ""]),
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda ways: f"({'|'.join(ways)})"),
        st.tuples(inner, st.sampled_from(["?", "*", "+", "{2}", "{1,3}", "{2,}"])).map(
            lambda parts: f"({parts[0]}){parts[1]}"
        ),
    ),
    max_leaves=8,
)


def accepts(states: list[State], text: str) -> bool:
    """Whether an automaton takes a text."""
    here = 0
    for character in text:
        ways = [
            target
            for target, ranges in states[here].moves.items()
            if any(low <= ord(character) <= high for low, high in ranges)
        ]
        if not ways:
            return False
        (here,) = ways
    return states[here].ends


def states_of(pattern: str) -> list[State]:
    """The automaton of a pattern; the few that have too many states prove nothing here."""
    try:
        return regex_states(pattern)
    except GrammarError:
        reject()


@settings(max_examples=300)
@given(PATTERNS, st.lists(LETTERS, max_size=7).map("".join))
def test_automata_take_what_python_matches(pattern, text):
    """No more and no less, and there is never a choice between two ways."""
    assert accepts(states_of(pattern), text) == bool(re.fullmatch(pattern, text))


@given(PATTERNS)
def test_no_way_leads_to_a_dead_end(pattern):
    """From each state that can be reached, an end can be."""
    states = states_of(pattern)
    alive = {number for number, state in enumerate(states) if state.ends}
    while more := {n for n, s in enumerate(states) if s.moves.keys() & alive} - alive:
        alive |= more
    assert {0, *(target for state in states for target in state.moves)} <= alive


@pytest.mark.parametrize(
    "pattern",
    [
        f"a{{{STATES_MAX}}}",
        "(a|b)*a(a|b){20}",
        "(" * 20 + "a" + "{0,9})" * 20,
        "a?" * 2000,
        "a{0,9999999}",
        "[" + "".join(chr(0x4E00 + 2 * index) for index in range(1300)) + "]{300}",
    ],
    ids=["long", "exponential", "nested", "optional", "huge", "wide"],
)
def test_what_is_too_large_is_refused_in_time(pattern):
    """Whatever the pattern of at most 4 KiB, our own work is bounded."""
    started_s = time.process_time()
    with pytest.raises(GrammarError, match="too large"):
        regex_states(pattern)
    assert time.process_time() - started_s < 5


def test_parts_are_bounded():
    """Nothing grows without end while it is built."""
    automaton = Automaton()
    with pytest.raises(AutomatonError, match="too large"):
        automaton.repeat(automaton.start, lambda state: automaton.take(state, [(1, 1)]), 0, 10**9)
    assert PARTS_MAX < 10**5
