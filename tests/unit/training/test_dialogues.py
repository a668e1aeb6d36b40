"""Claims about the starter model's dialogues."""

from collections import Counter
from itertools import islice

import pytest

from training.dialogues import (
    HELD_OUT_COUNTS,
    TOPIC_WEIGHTS,
    Dialogue,
    digest,
    held_out_dialogues,
    is_held_out,
    training_dialogues,
)
from training.knowledge import load_intents
from training.wordings import normalise


@pytest.fixture(scope="module")
def trained() -> list[Dialogue]:
    return list(islice(training_dialogues(0), 3000))


def questions(dialogues: list[Dialogue]) -> set[str]:
    return {
        normalise(message.content)
        for dialogue in dialogues
        for message in dialogue.messages
        if message.role == "user"
    }


def test_the_same_seed_writes_the_same_dialogues(trained: list[Dialogue]) -> None:
    """A seed names the data; another seed names other data."""
    assert digest(trained) == digest(list(islice(training_dialogues(0), 3000)))
    assert digest(trained) != digest(list(islice(training_dialogues(1), 3000)))


def test_no_held_out_wording_is_trained_on(trained: list[Dialogue]) -> None:
    """The last question of a held-out dialogue occurs in no training dialogue, case aside."""
    measured = {normalise(dialogue.messages[-2].content) for dialogue in held_out_dialogues()}
    assert not measured & questions(trained)


def test_the_split_is_a_rule_and_not_luck(trained: list[Dialogue]) -> None:
    """Whatever the seed and the length of training: each side asks only its own wordings."""
    users = [m.content for d in trained for m in d.messages if m.role == "user"]
    assert not any(is_held_out(text) for text in users if "<|" not in text)
    measured = [d for d in held_out_dialogues() if d.category != "strange_frame"]
    assert all(is_held_out(dialogue.messages[-2].content) for dialogue in measured)


def test_plain_forms_are_never_held_out() -> None:
    """The most natural way to ask is always trained."""
    forms = [form for intent in load_intents() for form in intent.plain_forms]
    assert len(forms) > 1000
    assert not any(map(is_held_out, forms))


def test_at_least_300_held_out_questions_ask_about_every_topic() -> None:
    """The bar is measured on the promised number of questions, all different."""
    counts = Counter(dialogue.category for dialogue in held_out_dialogues())
    assert {topic: counts[topic] for topic in HELD_OUT_COUNTS} == HELD_OUT_COUNTS
    assert sum(HELD_OUT_COUNTS.values()) >= 300
    asked = [
        normalise(d.messages[-2].content)
        for d in held_out_dialogues()
        if d.category in HELD_OUT_COUNTS
    ]
    assert len(set(asked)) == len(asked)


def test_other_lessons_leave_the_measure_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores before and after a change of what is trained more can be compared."""
    before = held_out_dialogues()
    for topic in TOPIC_WEIGHTS:
        monkeypatch.setitem(TOPIC_WEIGHTS, topic, float(topic == "sums"))
    assert held_out_dialogues.__wrapped__() == before


def test_ids_are_unique(trained: list[Dialogue]) -> None:
    """A dialogue can be named."""
    ids = [dialogue.id for dialogue in (*trained, *held_out_dialogues())]
    assert len(set(ids)) == len(ids)


def test_every_dialogue_is_a_chat_that_ends_with_an_answer(trained: list[Dialogue]) -> None:
    """At most one system message, in front; then user and assistant in turn."""
    for dialogue in (*trained, *held_out_dialogues()):
        roles = [message.role for message in dialogue.messages]
        turns = roles[1:] if roles[0] == "system" else roles
        assert turns == ["user", "assistant"] * (len(turns) // 2)
        assert turns


def test_training_holds_system_messages_and_long_histories(trained: list[Dialogue]) -> None:
    """The model meets what the chat page will send."""
    assert sum(d.messages[0].role == "system" for d in trained) > len(trained) // 10
    assert sum(len(d.messages) > 16 for d in trained) > len(trained) // 50
