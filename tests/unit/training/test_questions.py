"""Claims about other ways to put a question."""

import pytest

from training.questions import forms, is_question, keywords


@pytest.mark.parametrize(
    ("question", "clause"),
    [
        ("What is the Plover?", "what the Plover is"),
        ("When was Varnholt founded?", "when Varnholt was founded"),
        ("What is the sail of the Plover made of?", "what the sail of the Plover is made of"),
        ("How long does delivery take?", "how long delivery takes"),
        ("Where does the wood come from?", "where the wood comes from"),
        ("How do I clean the sail?", "how to clean the sail"),
        ("Where can I park?", "where I can park"),
        ("How high may a kite fly?", "how high a kite may fly"),
        ("Is the shop open on Sunday?", "whether the shop is open on Sunday"),
        ("Do you sell gift cards?", "if you sell gift cards"),
        ("Who founded Varnholt?", "who founded Varnholt"),
    ],
)
def test_a_question_becomes_a_clause(question: str, clause: str) -> None:
    """What follows "tell me" has the words in another order."""
    assert clause in forms(question).clause


def test_the_question_itself_comes_first() -> None:
    """Whatever the rules find, the words of the data are kept."""
    for question in ("Zork zork?", "What is it?", "Would that go?"):
        assert forms(question).direct[0].lower() == question.lower().rstrip("?")


def test_names_are_kept_as_they_are_written() -> None:
    """Only a question's own first word loses its capital."""
    assert forms("Varnholt, what is it?").direct == ("Varnholt, what is it",)


def test_possession_is_put_both_ways() -> None:
    """ "The slogan of Varnholt" is also "Varnholt's slogan"."""
    assert "what is Varnholt's slogan" in forms("What is the slogan of Varnholt?").direct


def test_what_and_who_can_be_left_out_but_when_and_where_cannot() -> None:
    """ "The shop" could ask for its hours or for its place."""
    assert "the mascot" in forms("What is the mascot?").bare
    assert "the shop" not in forms("Where is the shop?").bare


def test_keywords_carry_the_question() -> None:
    """As one types them into a search box."""
    assert keywords("How long is the warranty?") == ["How", "long", "warranty"]


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("Who is it?", True),
        ("where is the shop", True),
        ("Tell me a story", False),
        ("Here is a text. What is it about?", False),
        ("What is this:\ncode", True),
        ("x" * 300 + "?", False),
    ],
)
def test_only_one_short_question_is_reworded(text: str, is_one: bool) -> None:
    """Tasks and long texts are learnt as they are."""
    assert is_question(text) is is_one
