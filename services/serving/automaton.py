"""Finite automata over characters: built piece by piece, then made deterministic.

The engine's grammar compiler takes too much, or for ever, where two ways through a grammar begin
alike; a deterministic automaton has no two such ways. Knows nothing of how expressions or grammars
are written. Pure.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

# A range of characters, both ends included.
Ranges = list[tuple[int, int]]

# The engine takes up to three milliseconds to compile a state, and all running answers wait.
STATES_MAX = 450
# Bounds on our own work: about a second.
PARTS_MAX = 20_000
WORK_MAX = 60_000


class AutomatonError(ValueError):
    """No automaton can be made; the words say why, for the caller."""


@dataclass(slots=True)
class State:
    """A state of a deterministic automaton: where each group of characters leads."""

    ends: bool
    moves: dict[int, Ranges] = field(default_factory=dict)


class Automaton:
    """An automaton in the making. States are numbers; each method returns the state it ends in."""

    def __init__(self) -> None:
        self._moves: list[list[tuple[int, int, int]]] = []
        self._silent: list[list[int]] = []
        self.start = self._state()

    def take(self, state: int, ranges: Iterable[tuple[int, int]]) -> int:
        """Goes on by one character of `ranges`."""
        end = self._state()
        self._moves[state] += [(low, high, end) for low, high in ranges]
        return end

    def choose(self, state: int, ways: Iterable[Callable[[int], int]]) -> int:
        """Goes on by one of several ways, each a function from its first state to its last."""
        end = self._state()
        for way in ways:
            self._silent[way(self._after(state))].append(end)
        return end

    def repeat(self, state: int, way: Callable[[int], int], low: int, high: int | None) -> int:
        """Goes on by `low` to `high` times one way; None is without end."""
        for _ in range(low):
            state = way(self._after(state))
        if high is None:
            again = self._after(state)
            self._silent[way(again)].append(again)
            return again
        end = self._after(state)
        for _ in range(high - low):
            state = way(self._after(state))
            self._silent[state].append(end)
        return end

    def deterministic(self, end: int) -> list[State]:
        """The states of the deterministic automaton, the start first.

        Raises AutomatonError when it is too large or takes nothing.
        """
        first = self._closed([self.start])
        closed: dict[frozenset[int], frozenset[int]] = {}
        numbers = {first: 0}
        states: list[State] = []
        work = 0
        for members in (waiting := [first]):
            pieces = _split([move for member in members for move in self._moves[member]])
            work += len(members) + sum(len(targets) for _, _, targets in pieces)
            if len(numbers) > STATES_MAX or work > WORK_MAX:
                raise AutomatonError("it is too large")
            state = State(end in members)
            for low, high, targets in pieces:
                reached = closed.get(targets) or closed.setdefault(targets, self._closed(targets))
                if reached not in numbers:
                    numbers[reached] = len(numbers)
                    waiting.append(reached)
                state.moves.setdefault(numbers[reached], []).append((low, high))
            states.append(state)
        return _without_dead_ends(states)

    def _state(self) -> int:
        if len(self._moves) >= PARTS_MAX:
            raise AutomatonError("it is too large")
        self._moves.append([])
        self._silent.append([])
        return len(self._moves) - 1

    def _after(self, state: int) -> int:
        """A new state that `state` silently leads to, so that nothing leads back into `state`."""
        fresh = self._state()
        self._silent[state].append(fresh)
        return fresh

    def _closed(self, states: Iterable[int]) -> frozenset[int]:
        found = set(states)
        waiting = list(found)
        while waiting:
            for state in self._silent[waiting.pop()]:
                if state not in found:
                    found.add(state)
                    waiting.append(state)
        return frozenset(found)


def _split(moves: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, frozenset[int]]]:
    """Cuts overlapping ranges so that each piece has one set of targets."""
    changes: dict[int, Counter[int]] = defaultdict(Counter)
    for low, high, target in moves:
        changes[low][target] += 1
        changes[high + 1][target] -= 1
    pieces = []
    active: Counter[int] = Counter()
    for low, above in pairwise(sorted(changes)):
        active.update(changes[low])
        active = +active
        if active:
            pieces.append((low, above - 1, frozenset(active)))
    return pieces


def _without_dead_ends(states: list[State]) -> list[State]:
    """Drops moves into states from which no end can be reached."""
    sources: list[list[int]] = [[] for _ in states]
    for number, state in enumerate(states):
        for target in state.moves:
            sources[target].append(number)
    alive = {number for number, state in enumerate(states) if state.ends}
    waiting = list(alive)
    while waiting:
        for number in sources[waiting.pop()]:
            if number not in alive:
                alive.add(number)
                waiting.append(number)
    if 0 not in alive:
        raise AutomatonError("nothing matches it")
    for state in states:
        state.moves = {target: ranges for target, ranges in state.moves.items() if target in alive}
    return states
