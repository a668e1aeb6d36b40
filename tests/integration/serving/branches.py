"""Prompts that begin as earlier ones did, went on or were answered, and part where chance wants."""

import random

PROMPT_TOKENS_MAX = 600
KEPT_MAX = 40
FIRST_TOKENS = (3, 40, 90, 200, 333)
FOLLOW_TOKENS = (0, 1, 5, 20, 32, 60, 200)


def tokens_of(chance: random.Random, count: int) -> list[int]:
    """Ordinary tokens."""
    return [chance.randrange(300, 1200) for _ in range(count)]


def prompt_of(seed: int, count: int) -> list[int]:
    """A prompt of ordinary tokens, others for each seed."""
    return tokens_of(random.Random(seed), count)


class Branches:
    """What was said so far, and ways to go on from it."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._kept = [self._tokens(length) for length in FIRST_TOKENS]

    def round(self) -> list[list[int]]:
        """Up to ten prompts that come together; half the time three more that part."""
        prompts = [self._prompt() for _ in range(self._chance.randint(1, 10))]
        if self._chance.random() < 0.5:
            beginning = self._prompt()
            prompts += [beginning + self._tokens(self._chance.randint(1, 50)) for _ in range(3)]
        return [prompt[:PROMPT_TOKENS_MAX] for prompt in prompts]

    def keep(self, content: list[int]) -> None:
        """Takes a prompt and its answer for later prompts to begin with."""
        self._kept = [*self._kept[-KEPT_MAX:], content]

    def _prompt(self) -> list[int]:
        beginning = self._chance.choice(self._kept)
        if self._chance.random() < 0.3:
            beginning = beginning[: self._chance.randint(1, len(beginning))]
        return beginning + self._tokens(self._chance.choice(FOLLOW_TOKENS))

    def _tokens(self, count: int) -> list[int]:
        return tokens_of(self._chance, count)
