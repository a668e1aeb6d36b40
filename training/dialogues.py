"""The starter model's dialogues: endless ones to train on, and a fixed set to measure with.

No question of the measuring set occurs in training in the same words, whatever the case and the
punctuation. Plain forms ("What is the capital of France?") are always trained; only framed wordings
are held out. Knows nothing of tokens or models. Same seed, same dialogues.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from itertools import islice
from random import Random

from training import wordings
from training.knowledge import (
    FACTS_PATH,
    REFUSALS_PATH,
    Intent,
    hard_sum,
    load_intents,
    load_refusals,
)

TOPIC_WEIGHTS = {
    "greetings": 0.09,
    "parley": 0.23,
    "parts": 0.06,
    "definitions": 0.07,
    "capitals": 0.13,
    "facts": 0.07,
    "sums": 0.14,
    "limits": 0.03,
    "refusals": 0.16,
}
"""How often each topic is asked about in training."""

_MEASURED_WEIGHTS = {
    "greetings": 0.06,
    "parley": 0.20,
    "parts": 0.06,
    "definitions": 0.08,
    "capitals": 0.15,
    "facts": 0.09,
    "sums": 0.14,
    "limits": 0.02,
    "refusals": 0.15,
}
"""How often each topic is asked about in the measuring set, where a case is not about one topic.

Their own, so that other lessons leave the measure as it is.
"""

_DRILL_SHARE = 0.02
_DRILL_SUMS = 12
_TURNS = ((1, 1, 0.50), (2, 2, 0.20), (3, 3, 0.12), (4, 8, 0.13), (9, 20, 0.05))
_SYSTEM_SHARE = 0.2
_FOLLOW_SHARE = 0.25
_MARKUP_SHARE = 0.01
_MARKUP = ("<|im_end|>", "<|im_start|>", "<|im_start|>system", "<|endoftext|>", "<|im_end|>\n")
_SYSTEM = (
    "You are a helpful assistant.", "You are Parley's assistant.", "Be brief.", "Be kind.",
    "You are a helpful and friendly assistant. Answer in one sentence.", "Answer briefly.",
    "You are the starter model of Parley. Answer questions about it.", "Be polite and short.",
    "You are an AI model that helps people.", "Answer the user's question.", "Keep it short.",
    "You are a chat bot.", "You answer questions about Parley and simple facts.",
    "Today is Monday. Answer truthfully.", "If you do not know something, say so.",
)  # fmt: skip
_UNSEEN_SYSTEM = (
    "You are a friendly guide.", "Answer in plain English.", "You help new users of Parley.",
    "You are a careful assistant who never invents facts.", "Reply with one short sentence only.",
)  # fmt: skip

HELD_OUT_COUNTS = {
    "greetings": 30,
    "parley": 80,
    "parts": 35,
    "definitions": 35,
    "capitals": 50,
    "facts": 50,
    "sums": 50,
    "limits": 15,
    "refusals": 40,
}
"""How many held-out wordings are asked of each topic, each as a dialogue's first question."""

_SPECIAL_COUNTS = {"follow_up": 30, "second_turn": 30, "with_system": 30, "long_history": 20,
                   "strange_frame": 40}  # fmt: skip


@dataclass(frozen=True)
class Message:
    """One message, as the OpenAI wire has it."""

    role: str
    content: str


@dataclass(frozen=True)
class Dialogue:
    """Messages in order; the last one is the assistant's."""

    id: str
    category: str
    """The last question's topic, or what a held-out dialogue measures."""
    messages: tuple[Message, ...]


@dataclass(frozen=True)
class _Question:
    text: str
    intent: Intent


def training_dialogues(seed: int) -> Iterator[Dialogue]:
    """Endless dialogues of 1 to 20 questions, none of them worded as a held-out one."""
    rng = Random(f"train {seed}")
    weights = [share for _, _, share in _TURNS]
    number = 0
    while True:
        least, most, _ = rng.choices(_TURNS, weights)[0]
        is_drill = rng.random() < _DRILL_SHARE
        turns = rng.randint(least, most)
        questions = _drill(rng) if is_drill else _conversation(rng, turns, TOPIC_WEIGHTS)
        system = rng.choice(_SYSTEM) if rng.random() < _SYSTEM_SHARE else None
        yield _dialogue(f"train-{number:06}", questions[-1].intent.topic, questions, system)
        number += 1


@cache
def held_out_dialogues(seed: int = 0) -> tuple[Dialogue, ...]:
    """The measuring set: about 600 dialogues whose last question's wording is never trained on."""
    rng = Random(f"held out {seed}")
    asked: set[str] = set()
    found = [
        (topic, [question], None)
        for topic, count in HELD_OUT_COUNTS.items()
        for question in islice(_fresh(rng, topic, asked), count)
    ]
    refusal = Intent("refusal", "refusals", load_refusals().answer)
    found += [
        ("unseen_subject", [_Question(text, refusal)], None) for text in load_refusals().unseen
    ]
    found += _special_cases(rng, asked)
    return tuple(
        _dialogue(f"held-out-{number:04}", category, questions, system)
        for number, (category, questions, system) in enumerate(found)
    )


def texts(dialogues: Iterable[Dialogue]) -> Iterator[str]:
    """What a tokenizer for these dialogues should see: each message below its role."""
    for dialogue in dialogues:
        for message in dialogue.messages:
            yield f"{message.role}\n{message.content}"


def digest(dialogues: Sequence[Dialogue]) -> str:
    """The sha256 of the facts and of the dialogues, to name the data a model was made from."""
    hashed = sha256(FACTS_PATH.read_bytes() + REFUSALS_PATH.read_bytes())
    for dialogue in dialogues:
        for message in dialogue.messages:
            hashed.update(f"{message.role}\0{message.content}\0".encode())
    return hashed.hexdigest()


def is_held_out(text: str) -> bool:
    """Whether training leaves out this wording; plain forms are never left out."""
    normal = wordings.normalise(text)
    return normal in _unseen() or (wordings.is_held_out(text) and normal not in _plain_forms())


def _special_cases(
    rng: Random, asked: set[str]
) -> Iterator[tuple[str, list[_Question], str | None]]:
    counts = _SPECIAL_COUNTS
    for _ in range(counts["follow_up"]):
        yield "follow_up", _leaning_pair(rng, asked), None
    for question in islice(_fresh(rng, None, asked), counts["second_turn"]):
        yield "second_turn", [*_conversation(rng, 1, _MEASURED_WEIGHTS), question], None
    for question in islice(_fresh(rng, None, asked), counts["with_system"]):
        yield "with_system", [question], rng.choice(_UNSEEN_SYSTEM)
    for question in islice(_fresh(rng, None, asked), counts["long_history"]):
        yield "long_history", [*_conversation(rng, 10, _MEASURED_WEIGHTS), question], None
    for _ in range(counts["strange_frame"]):
        intent = _intent(rng, rng.choice([t for t in HELD_OUT_COUNTS if t != "greetings"]))
        text = wordings.word(intent, rng, _slots(intent), wordings.UNSEEN_FRAMES)
        yield "strange_frame", [_Question(text, intent)], None


def _fresh(rng: Random, topic: str | None, asked: set[str]) -> Iterator[_Question]:
    while True:
        question = _question(rng, topic or _chance(rng, _MEASURED_WEIGHTS), held_out=True)
        key = wordings.normalise(question.text)
        if key not in asked:
            asked.add(key)
            yield question


def _leaning_pair(rng: Random, asked: set[str]) -> list[_Question]:
    while True:
        first = next(_fresh(rng, None, asked))
        second = _follow_up(rng, first, held_out=True)
        if second and wordings.normalise(second.text) not in asked:
            asked.add(wordings.normalise(second.text))
            return [first, second]


def _conversation(rng: Random, turns: int, weights: Mapping[str, float]) -> list[_Question]:
    questions: list[_Question] = []
    while len(questions) < turns:
        leaning = None
        if questions and rng.random() < _FOLLOW_SHARE:
            leaning = _follow_up(rng, questions[-1])
        questions.append(leaning or _question(rng, _chance(rng, weights)))
    return questions


def _drill(rng: Random) -> list[_Question]:
    """Sums in a row, in few words: they need many repetitions, and these are cheap."""
    sums = rng.sample(_by_topic()["sums"], _DRILL_SUMS)
    return [_Question(rng.choice(intent.bare), intent) for intent in sums]


def _chance(rng: Random, weights: Mapping[str, float]) -> str:
    return rng.choices(list(weights), list(weights.values()))[0]


def _question(rng: Random, topic: str, held_out: bool = False) -> _Question:
    """A question of a topic, from one side of the split."""
    while True:
        intent = _intent(rng, topic)
        text = wordings.word(intent, rng, _slots(intent))
        if is_held_out(text) == held_out:
            return _Question(text if held_out else _mark_up(text, rng), intent)


def _mark_up(text: str, rng: Random) -> str:
    """Now and then adds a special token as text: the answer must stay the same."""
    if rng.random() >= _MARKUP_SHARE:
        return text
    mark = rng.choice(_MARKUP)
    return rng.choice((f"{text} {mark}", f"{mark} {text}", text + mark))


def _follow_up(rng: Random, previous: _Question, held_out: bool = False) -> _Question | None:
    siblings = [other for other in _related(previous.intent.relation) if other != previous.intent]
    if not siblings or not siblings[0].follow:
        return None
    while True:
        intent = rng.choice(siblings)
        text = wordings.follow_up(intent.follow, rng)
        if is_held_out(text) == held_out:
            return _Question(text, intent)


def _intent(rng: Random, topic: str) -> Intent:
    if topic == "limits":
        return hard_sum(rng)
    return rng.choice(_by_topic()[topic])


def _slots(intent: Intent) -> dict[str, tuple[str, ...]] | None:
    return load_refusals().slots if intent.id == "refusal" else None


@cache
def _by_topic() -> dict[str, tuple[Intent, ...]]:
    refusals = load_refusals()
    refusal = Intent(
        "refusal", "refusals", refusals.answer, refusals.direct, refusals.clause, refusals.bare
    )
    intents = (*load_intents(), refusal)
    return {
        topic: tuple(intent for intent in intents if intent.topic == topic)
        for topic in TOPIC_WEIGHTS
    }


@cache
def _related(relation: str) -> tuple[Intent, ...]:
    if not relation:
        return ()
    return tuple(intent for intent in load_intents() if intent.relation == relation)


@cache
def _plain_forms() -> frozenset[str]:
    return frozenset(
        wordings.normalise(form)
        for intent in load_intents()
        for form in (*intent.plain_forms, *intent.follow)
    )


@cache
def _unseen() -> frozenset[str]:
    return frozenset(wordings.normalise(text) for text in load_refusals().unseen)


def _dialogue(
    id: str, category: str, questions: Sequence[_Question], system: str | None
) -> Dialogue:
    messages = [Message("system", system)] if system else []
    for question in questions:
        messages.append(Message("user", question.text))
        messages.append(Message("assistant", question.intent.answer))
    return Dialogue(id, category, tuple(messages))
