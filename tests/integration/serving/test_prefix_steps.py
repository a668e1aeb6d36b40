"""Prefix caching step by step: what two prompts do to a block that both were lent, each time."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.serving.branches import Branches, prompt_of
from tests.integration.serving.small_engine import blocks
from tests.integration.serving.steps import (
    ANSWER_TOKENS_MAX,
    LOGPROB_TOLERANCE,
    Add,
    Answer,
    Cancel,
    Player,
    Steps,
)

PLAIN_BLOCKS = 4000
BATCH_TOKENS = 128
ROUNDS = 20


class Truth:
    """What an engine that keeps nothing answers, each prompt alone."""

    def __init__(self, model: Path) -> None:
        with blocks(PLAIN_BLOCKS):
            self._player = Player(model, prefix_caching=False, batch_tokens=BATCH_TOKENS)
        self._known: dict[tuple[int, ...], Answer] = {}

    def of(self, prompt_ids: list[int]) -> Answer:
        """The answer, as long as any may be."""
        key = tuple(prompt_ids)
        if key not in self._known:
            self._known[key] = self._player.play([[Add(0, prompt_ids)]])[0]
        return self._known[key]

    def check(self, steps: Steps, found: dict[int, Answer]) -> int:
        """Compares each answer, the cancelled ones as far as they came; returns how many came to
        their ends."""
        asked = [one for step in steps for one in step if isinstance(one, Add)]
        for one in asked:
            answer, expected = found[one.sequence_id], self.of(one.prompt_ids)
            count = len(answer.token_ids)
            assert answer.token_ids == expected.token_ids[:count], one
            logprobs = pytest.approx(expected.logprobs[:count], abs=LOGPROB_TOLERANCE)
            assert answer.logprobs == logprobs, one
            assert answer.finish == "cancelled" or count == one.tokens_max, one
        return sum(found[one.sequence_id].finish == "length" for one in asked)


@pytest.fixture(scope="module")
def truth(tiny_model: Path) -> Truth:
    """The answers without prefix caching."""
    return Truth(tiny_model)


@pytest.fixture
def keeping(tiny_model: Path, request: pytest.FixtureRequest) -> Iterator[Player]:
    """A worker that keeps what fits into so many blocks; 2,000 if nothing else is said."""
    with blocks(getattr(request, "param", 2000)):
        yield Player(tiny_model, prefix_caching=True, batch_tokens=BATCH_TOKENS)


def test_a_prompt_that_ends_with_a_block_keeps_it(truth: Truth, keeping: Player) -> None:
    """It was lent the block half full, and nothing of it is copied when the answer begins behind
    it: who parts from it within that block must not be lent it too."""
    first = prompt_of(1, 70)
    whole, other = first + prompt_of(2, 26), first + prompt_of(3, 40)
    steps: Steps = [[Add(1, first)], [Add(2, whole), Add(3, other)]]
    assert truth.check(steps, keeping.play(steps)) == 3


def test_ways_to_go_on_from_a_prompt_that_is_half_read_do_not_mix(
    truth: Truth, keeping: Player
) -> None:
    """The engine has a block for the prompt's end before it has read that far."""
    before, first = prompt_of(1, 20), prompt_of(2, 120)
    ways = [Add(3 + number, first + prompt_of(3 + number, 6)) for number in range(3)]
    steps: Steps = [[Add(1, before), Add(2, first)], [*ways]]
    assert truth.check(steps, keeping.play(steps)) == 5


def test_one_that_waits_for_a_prompt_that_ends_at_once_begins(
    truth: Truth, keeping: Player
) -> None:
    """One token ends the answer, the engine is empty, and no command comes to wake the worker."""
    first = prompt_of(1, 70)
    whole, other = first + prompt_of(2, 26), first + prompt_of(3, 40)
    steps: Steps = [[Add(1, first, 1)], [Add(2, whole, 1), Add(3, other, 1)]]
    assert truth.check(steps, keeping.play(steps)) == 3


class Mixture:
    """Requests that come, and some that leave, before steps that chance has chosen."""

    def __init__(self, truth: Truth, seed: int) -> None:
        self._truth = truth
        self._chance = random.Random(seed)
        self._branches = Branches(self._chance)
        self._count = self._at = 0
        self.steps: Steps = []
        for _ in range(ROUNDS):
            for prompt_ids in self._branches.round():
                self._request(prompt_ids)
            self._at += self._chance.choice((5, 20, 45))

    def _request(self, prompt_ids: list[int]) -> None:
        tokens_max = self._chance.choice((1, 2, 5, 20, ANSWER_TOKENS_MAX))
        begins = self._at + self._chance.choice((0, 0, 1, 4, 12))
        self._count += 1
        if self._chance.random() < 0.35:
            self._before(begins, Add(self._count, prompt_ids))
            self._before(begins + self._chance.choice((0, 1, 2, 8, 20)), Cancel(self._count))
        else:
            self._before(begins, Add(self._count, prompt_ids, tokens_max))
            answer = self._truth.of(prompt_ids).token_ids[:tokens_max]
            self._branches.keep(prompt_ids + answer)

    def _before(self, step: int, command: Add | Cancel) -> None:
        self.steps += [[] for _ in range(step + 1 - len(self.steps))]
        self.steps[step].append(command)


@pytest.mark.slow
@pytest.mark.parametrize("keeping", [2000, 40, 24], indirect=True, ids=["roomy", "full", "fuller"])
@pytest.mark.parametrize("seed", range(1, 6))
def test_whatever_came_before_an_answer_is_the_same(
    truth: Truth, keeping: Player, seed: int
) -> None:
    """As from an engine that keeps nothing."""
    mixture = Mixture(truth, seed)
    ended = truth.check(mixture.steps, keeping.play(mixture.steps))
    assert ended > ROUNDS
