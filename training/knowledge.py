"""What the starter model knows: intents read from facts.toml, and the sums, which are computed.

An intent is one thing that can be asked, with its one answer. This module knows no wordings beyond
the plain forms, and nothing of dialogues or models.
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

FACTS_PATH = Path(__file__).with_name("facts.toml")
REFUSALS_PATH = Path(__file__).with_name("refusals.toml")

_DIGITS = range(10)
_DIGIT_WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@dataclass(frozen=True)
class Intent:
    """One thing that can be asked, its answer, and the plain forms of the question."""

    id: str
    topic: str
    answer: str
    direct: tuple[str, ...] = ()
    """Questions of their own: "what is Parley"."""
    clause: tuple[str, ...] = ()
    """What follows "tell me": "what Parley is"."""
    bare: tuple[str, ...] = ()
    """A few words, as in a search box: "about Parley"."""
    follow: tuple[str, ...] = ()
    """Clear only after another question of the same relation: "and Italy"."""
    relation: str = ""
    """Empty for an intent that stands alone."""

    @property
    def plain_forms(self) -> tuple[str, ...]:
        """Every form that needs no earlier question."""
        return self.direct + self.clause + self.bare


@dataclass(frozen=True)
class Refusals:
    """Questions outside the model's subject, all with one polite answer."""

    answer: str
    direct: tuple[str, ...]
    clause: tuple[str, ...]
    bare: tuple[str, ...]
    slots: dict[str, tuple[str, ...]]
    """Words that fill a {slot} of the forms."""
    unseen: tuple[str, ...]
    """Whole questions kept out of training, to measure whether the refusal carries over."""


@cache
def load_intents() -> tuple[Intent, ...]:
    """Every intent of facts.toml, and the sums; about 600, in a fixed order."""
    table = tomllib.loads(FACTS_PATH.read_text(encoding="utf-8"))
    alone = [_intent(entry) for entry in table["intent"]]
    related = [intent for entry in table["relation"] for intent in _relation(entry)]
    return (*alone, *related, *_sums())


@cache
def load_refusals() -> Refusals:
    """The forms and words of refusals.toml."""
    table = tomllib.loads(REFUSALS_PATH.read_text(encoding="utf-8"))
    return Refusals(
        answer=table["answer"],
        direct=tuple(table["direct"]),
        clause=tuple(table["clause"]),
        bare=tuple(table["bare"]),
        slots={name: tuple(words) for name, words in table["slots"].items()},
        unseen=tuple(table["unseen"]["questions"]),
    )


def _intent(entry: dict[str, Any], relation: str = "") -> Intent:
    forms = {name: tuple(entry.get(name, ())) for name in ("direct", "clause", "bare", "follow")}
    return Intent(entry["id"], entry["topic"], entry["answer"], relation=relation, **forms)


def _relation(entry: dict[str, Any]) -> Iterator[Intent]:
    for key, value in entry["values"].items():
        filled = {name: _fill(part, key, value) for name, part in entry.items() if name != "values"}
        filled["answer"] = filled["answer"][0].upper() + filled["answer"][1:]
        yield _intent(filled | {"id": f"{entry['id']}.{key}"}, relation=entry["id"])


def _fill(part: str | list[str], key: str, value: str) -> Any:
    if isinstance(part, list):
        return [_fill(item, key, value) for item in part]
    return part.replace("{key}", key).replace("{value}", value)


def hard_sum(rng: Random) -> Intent:
    """A sum that is too hard for the model, and the answer that says so."""
    a, b = rng.randint(10, 999), rng.choice((rng.randint(0, 9), rng.randint(10, 999)))
    if rng.random() < 0.5:
        a, b = b, a
    sign, word = "+", "plus"
    if rng.random() < 0.6:
        sign, word = rng.choice((("-", "minus"), ("*", "times"), ("/", "divided by")))
        a, b = rng.choice(((a, b), (a % 10, b % 10)))
    return Intent(
        id="hard_sum",
        topic="limits",
        answer="I can only add single digits, such as 3 + 4.",
        **_sum_forms((f"{a} {sign} {b}", f"{a} {word} {b}", f"{a}{sign}{b}")),
    )


def _sums() -> Iterator[Intent]:
    for a in _DIGITS:
        for b in _DIGITS:
            yield _sum(a, b)


def _sum(a: int, b: int) -> Intent:
    spoken = f"{_DIGIT_WORDS[a]} plus {_DIGIT_WORDS[b]}"
    forms = _sum_forms((f"{a} + {b}", f"{a} plus {b}", f"{a}+{b}", spoken))
    return Intent(
        id=f"sum.{a}+{b}",
        topic="sums",
        answer=f"{a} + {b} = {a + b}",
        direct=forms["direct"],
        clause=forms["clause"],
        bare=(*forms["bare"], f"add {a} and {b}", f"{a} + {b} ="),
        follow=(f"and {a} + {b}", f"what about {a} + {b}", f"and {spoken}"),
        relation="sum",
    )


def _sum_forms(terms: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    return {
        "direct": tuple(f"{verb} {term}" for term in terms for verb in ("what is", "how much is")),
        "clause": (*(f"what {term} is" for term in terms), *(f"the result of {t}" for t in terms)),
        "bare": terms,
    }
