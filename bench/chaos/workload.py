"""What clients ask, all of it from a seed: few questions, asked again and again. Pure.

Each has one right answer, so that what an undisturbed stack says is what every stack must say:
greedy ones, and sampled ones with a seed, whose text is less monotonous and shows a gap better.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

QUESTIONS = 48
TOKENS_MIN, TOKENS_MAX = 80, 640
GREEDY = "greedy"
KINDS: dict[str, dict[str, Any]] = {
    GREEDY: {"temperature": 0},
    "seeded": {"temperature": 1},
    "stopped": {"temperature": 1, "stop": ["zq", "the end of it"]},
    "logprobs": {"temperature": 1, "logprobs": 0},
    "formatted": {
        "temperature": 0,
        "response_format": {"type": "regex", "regex": "[a-m ]+"},
    },
    "two choices": {"temperature": 1, "n": 2},
}
SAMPLED = frozenset(kind for kind, how in KINDS.items() if how["temperature"])
# Half of the load is the plain case; the others go on in other ways when they migrate.
SHARES = (10, 4, 2, 2, 1, 1)


@dataclass(frozen=True, slots=True)
class Question:
    """One request: its number, its kind, and what is sent."""

    number: int
    kind: str
    body: dict[str, Any]


def questions(seed: int, model: str) -> tuple[Question, ...]:
    """The questions of a run. The same seed gives the same ones."""
    chance = random.Random(f"questions {seed}")
    return tuple(_question(number, model, chance) for number in range(QUESTIONS))


def draws(seed: int, client: int, asked: tuple[Question, ...]) -> Iterator[Question]:
    """What one client asks, one after the other, without end."""
    chance = random.Random(f"client {seed} {client}")
    while True:
        yield chance.choice(asked)


def _question(number: int, model: str, chance: random.Random) -> Question:
    (kind,) = chance.choices(list(KINDS), SHARES)
    body = {
        "model": model,
        "prompt": [chance.randrange(300, 1800) for _ in range(chance.randint(2, 48))],
        "max_tokens": chance.randint(TOKENS_MIN, TOKENS_MAX),
        "stream": True,
        "stream_options": {"include_usage": True},
        **KINDS[kind],
    }
    if body["temperature"]:
        body["seed"] = chance.randrange(1 << 31)
    return Question(number, kind, body)
