"""Claims about how questions are worded."""

from random import Random

from training.knowledge import Intent
from training.wordings import UNSEEN_FRAMES, fill, is_held_out, normalise, restyle, word

CAPITAL = Intent(
    "capital.France",
    "capitals",
    "The capital of France is Paris.",
    direct=("what is the capital of France",),
    clause=("what the capital of France is",),
    bare=("capital of France",),
)


def test_one_question_gets_many_wordings() -> None:
    """Forms, frames and styles multiply."""
    rng = Random(0)
    assert len({word(CAPITAL, rng) for _ in range(500)}) > 100


def test_every_wording_keeps_the_subject() -> None:
    """Restyling never loses what is asked about."""
    rng = Random(0)
    assert all("france" in word(CAPITAL, rng).lower() for _ in range(500))


def test_unseen_frames_are_never_drawn_in_training() -> None:
    """What measures strange openings stays strange."""
    rng = Random(0)
    openings = {
        normalise(frame.replace("{}", "")) for frames in UNSEEN_FRAMES.values() for frame in frames
    }
    drawn = [normalise(word(CAPITAL, rng)) for _ in range(2000)]
    assert not [text for text in drawn if any(opening in text for opening in openings)]


def test_case_and_punctuation_do_not_make_another_wording() -> None:
    """A held-out wording stays out however it is typed."""
    plain = "could you tell me the capital of france"
    typed = "Could you tell me, the CAPITAL of France?!"
    assert normalise(typed) == normalise(plain)
    assert is_held_out(typed) == is_held_out(plain)


def test_signs_make_another_wording() -> None:
    """Sums that differ by their sign alone are different questions."""
    assert normalise("3 + 4") != normalise("3 - 4")


def test_slots_take_listed_and_made_up_words() -> None:
    """A refused question may hold a word that nobody listed."""
    rng = Random(0)
    filled = {fill("who is {person}", rng, {"person": ["Ann"]}) for _ in range(200)}
    assert "who is Ann" in filled
    assert len(filled) > 10


def test_restyling_keeps_the_letters() -> None:
    """Only case, the end mark and the short form of "is" may change."""
    rng = Random(0)
    forms = {normalise(restyle("what is Parley?", rng)) for _ in range(200)}
    assert forms == {"what is parley", "what's parley"}
