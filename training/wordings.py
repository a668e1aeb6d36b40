"""Many ways to say one thing: plain forms are framed, filled and restyled by chance.

The same frames serve every topic, so a model that learns a frame on one topic knows it on all.
Knows nothing of answers, dialogues or models. Everything draws from the caller's generator, so the
same seed gives the same words.
"""

import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from random import Random
from typing import Protocol

DIRECT_FRAMES = (
    "{}?", "{}?", "{}?", "please, {}?", "{}, please?", "hello, {}?", "hi! {}?", "so {}?",
    "quick question: {}?", "tell me, {}?", "now, {}?", "one question: {}?", "hey, {}?",
    "I wonder, {}?", "a question: {}?", "and now, {}?", "please tell me, {}?", "do you know, {}?",
    "good morning, {}?", "okay, {}?", "well, {}?", "say, {}?", "thanks! {}?", "sorry, {}?",
    "can you tell me, {}?", "I have a question: {}?", "{}, do you know?", "{}? thank you!",
    "{}? please tell me.", "excuse me, {}?", "in short, {}?", "hi there, {}?",
)  # fmt: skip
CLAUSE_FRAMES = (
    "tell me {}.", "please tell me {}.", "can you tell me {}?", "could you tell me {}?",
    "could you please tell me {}?", "can you tell me {}, please?", "do you know {}?",
    "I want to know {}.", "I would like to know {}.", "please let me know {}.",
    "will you tell me {}?", "would you tell me {}?", "I need to know {}.", "may I ask {}?",
    "can you say {}?", "can you please say {}?", "let me know {}.", "hello, please tell me {}.",
    "hi, can you tell me {}?", "tell me {}, please.", "I wonder {}.", "I am asking {}.",
    "now tell me {}.", "can you let me know {}?", "would you please tell me {}?",
    "I'd like to know {}.", "just tell me {}.", "do you happen to know {}?", "remind me {}.",
)  # fmt: skip
BARE_FRAMES = (
    "{}", "{}", "{}.", "{}?", "{}, please.", "{} please", "please: {}", "hi, {}", "hello, {}",
    "now {}", "okay, {}", "and now {}", "hey, {}", "{}, thanks", "so, {}", "well, {}.",
)  # fmt: skip
FOLLOW_FRAMES = (
    "{}?", "{}?", "{}?", "okay, {}?", "thanks, {}?", "{}, please?", "good, {}?", "thank you, {}?",
    "right, {}?", "{}, do you know?", "great! {}?", "{} then?", "I see. {}?",
)  # fmt: skip
UNSEEN_FRAMES = {
    "direct": ("could you answer this: {}?", "I was thinking, {}?", "my question is {}?"),
    "clause": ("would you be so kind as to tell me {}?", "I am curious to know {}.",
               "I should like to hear {}."),
    "bare": ("question about this: {}", "my topic is: {}", "{}, if you can"),
}  # fmt: skip
"""Frames that training never sees; they measure whether a strange opening does harm."""

HELD_OUT_SHARE = 8
"""One wording in this many is kept out of training."""

_FRAMES = {"direct": DIRECT_FRAMES, "clause": CLAUSE_FRAMES, "bare": BARE_FRAMES}
_FORM_WEIGHTS = {"direct": 0.42, "clause": 0.33, "bare": 0.25}
_MADE_UP_SHARE = 0.3
_ONSETS = re.findall(r"\w+", "b bl br c ch d dr f fl g gr h j k l m n p pl qu r s sk st t tr v w z")
_VOWELS = ["a", "e", "i", "o", "u", "ai", "ee", "oo", "ou"]
_CODAS = ["", "", "n", "r", "l", "x", "m", "nd", "sk", "th"]
_ENDINGS = ["", "ia", "land", "o", "um", "ing", "er", "y"]


class HasForms(Protocol):
    """Anything with the three forms of a question."""

    @property
    def direct(self) -> tuple[str, ...]: ...
    @property
    def clause(self) -> tuple[str, ...]: ...
    @property
    def bare(self) -> tuple[str, ...]: ...


def word(
    source: HasForms,
    rng: Random,
    slots: Mapping[str, Sequence[str]] | None = None,
    frames: Mapping[str, Sequence[str]] = _FRAMES,
) -> str:
    """One wording of a question: a form, its slots filled, in a frame, restyled."""
    kinds = [kind for kind in _FORM_WEIGHTS if getattr(source, kind)]
    kind = rng.choices(kinds, [_FORM_WEIGHTS[kind] for kind in kinds])[0]
    form = fill(rng.choice(getattr(source, kind)), rng, slots or {})
    return restyle(rng.choice(frames[kind]).format(form), rng)


def follow_up(forms: Sequence[str], rng: Random) -> str:
    """One wording of a short question that leans on the one before."""
    return restyle(rng.choice(FOLLOW_FRAMES).format(rng.choice(forms)), rng)


def fill(form: str, rng: Random, slots: Mapping[str, Sequence[str]]) -> str:
    """Puts a listed word, or now and then one that does not exist, into each {slot}."""

    def choose(match: re.Match[str]) -> str:
        if rng.random() < _MADE_UP_SHARE:
            return made_up_word(rng)
        return rng.choice(slots[match[1]])

    return re.sub(r"\{(\w+)\}", choose, form) if slots else form


def made_up_word(rng: Random) -> str:
    """A word of one to three syllables that most likely does not exist."""
    syllables = [
        rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS)
        for _ in range(rng.randint(1, 3))
    ]
    made = "".join(syllables) + rng.choice(_ENDINGS)
    return made.capitalize() if rng.random() < 0.7 else made


def restyle(text: str, rng: Random) -> str:
    """Capital first letter, or the careless ways in which people type."""
    if rng.random() < 0.12:
        text = re.sub(r"\b([Ww]hat|[Ww]ho|[Ww]here|[Hh]ow) is\b", r"\1's", text)
    if rng.random() < 0.15:
        text = text.rstrip("?.")
    elif rng.random() < 0.04:
        text = text.rstrip("?.") + rng.choice(("??", "!", "?!", "...", " ?"))
    if rng.random() < 0.2:
        return text.lower()
    return text[:1].upper() + text[1:]


def normalise(text: str) -> str:
    """Letters, digits and signs alone: wordings that differ in case or commas count as one."""
    return " ".join(re.findall(r"[\w+\-*/<>|']+", text.lower()))


def is_held_out(text: str) -> bool:
    """Whether a wording belongs to the held-out share; a fixed function of its normal form."""
    digest = blake2b(normalise(text).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") % HELD_OUT_SHARE == 0
