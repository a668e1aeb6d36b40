"""Tokens to text."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.serving.detokenizer import Detokenizer, StopScanner
from services.serving.vocabulary import Vocabulary
from tests.fakes.model import CONTROLS, TURN_END, make_tokenizer

TOKENIZER = make_tokenizer()
VOCABULARY = Vocabulary(TOKENIZER)
REPLACEMENT = "\ufffd"
# One byte that no UTF-8 text has, and one that only goes on a character.
NEVER, ALONE = (TOKENIZER.token_to_id(piece) for piece in ("ÿ", "¡"))


def ids_of(text: str) -> list[int]:
    """Tokens of a text."""
    return TOKENIZER.encode(text).ids


def pieces_of(ids: list[int]) -> list[str]:
    """What each token completes."""
    detokenizer = Detokenizer(VOCABULARY)
    return [detokenizer.feed(token_id) for token_id in ids]


@pytest.mark.parametrize("text", ["😀", "👩‍👩‍👧‍👦!", "aé aü", "z̷͎̈a̴l", "नमस्ते", "漢字かな", "hello"])
def test_characters_over_many_tokens_come_whole(text):
    """No piece of a valid text holds U+FFFD, and the pieces are the text."""
    pieces = pieces_of(ids_of(text))
    assert REPLACEMENT not in "".join(pieces)
    assert "".join(pieces) == text


def test_a_character_shows_with_the_token_that_completes_it():
    """Nothing of it shows before, and nothing waits longer than it must."""
    assert pieces_of(ids_of("😀a")) == ["", "", "", "😀", "a"]


def test_a_token_that_ends_within_a_character_shows_its_whole_part():
    """The "a" of a token that also holds half an "é" shows at once."""
    ids = ids_of("aé")
    assert len(ids) == 2
    assert pieces_of(ids) == ["a", "é"]


@given(st.text())
def test_joined_pieces_are_the_whole_text(text):
    """Whatever the text."""
    assume(not any(control in text for control in CONTROLS))
    ids = ids_of(text)
    assert "".join(pieces_of(ids)) == TOKENIZER.decode(ids) == text


@given(st.lists(st.integers(0, TOKENIZER.get_vocab_size() - 1)))
def test_any_tokens_give_the_text_of_their_bytes(ids):
    """Invalid bytes are replaced as in any decoder, and only an incomplete end is held back."""
    shown = "".join(pieces_of(ids))
    raw = b"".join(VOCABULARY.shown_bytes(token_id) for token_id in ids)
    whole = raw.decode(errors="replace")
    assert whole.startswith(shown)
    assert whole[len(shown) :] in ("", REPLACEMENT)


def test_an_incomplete_end_is_dropped():
    """Half a character at the end of an answer is not shown."""
    assert "".join(pieces_of([*ids_of("ok"), *ids_of("😀")[:3]])) == "ok"


@pytest.mark.parametrize("bad", [NEVER, ALONE])
def test_bytes_that_are_no_text_do_not_stop_what_follows(bad):
    """Text after a long run of invalid bytes comes as ever."""
    assert "".join(pieces_of([bad] * 500 + ids_of("é!"))) == REPLACEMENT * 500 + "é!"


def test_control_tokens_are_not_shown():
    """Not in the text, nor within a character that goes on behind them."""
    turn = TOKENIZER.token_to_id(TURN_END)
    half, other = ids_of("ü")
    assert pieces_of([turn, half, turn, other, turn]) == ["", "", "", "ü", ""]


def test_an_unknown_token_shows_nothing():
    """An id that the tokenizer lacks adds no text."""
    assert pieces_of([10**6]) == [""]


STOPS = st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=4)


def scan(pieces: list[str], stops: list[str]) -> tuple[str, str]:
    """All the text that a scanner shows, and where it stopped."""
    scanner = StopScanner(stops)
    shown = ""
    for piece in pieces:
        text, stop = scanner.feed(piece)
        shown += text
        if stop:
            return shown, stop
    return shown + scanner.finish(), ""


@given(STOPS, st.lists(st.text("abc", max_size=5)))
def test_the_borders_of_pieces_change_nothing(stops, pieces):
    """Any chunking gives the shown text and the stop that single characters give, and the whole."""
    text = "".join(pieces)
    assert scan(pieces, stops) == scan(list(text), stops) == scan([text], stops)


@given(STOPS, st.lists(st.text("abc", max_size=5)))
def test_shown_text_never_holds_a_stop_string(stops, pieces):
    """Neither when one is found nor at the end, and what is shown begins the text."""
    text = "".join(pieces)
    shown, stop = scan(pieces, stops)
    assert not any(stop in shown for stop in stops)
    assert text.startswith(shown + stop)
    assert bool(stop) == any(stop in text for stop in stops)


def test_only_what_may_begin_a_stop_string_is_kept_back():
    """Text goes out as soon as it cannot be part of one."""
    scanner = StopScanner(["END"])
    assert [scanner.feed(piece)[0] for piece in ("abE", "N", "x", "E")] == ["ab", "", "ENx", ""]
    assert scanner.finish() == "E"


def test_the_longest_of_those_that_end_together_is_named():
    """Stop strings within each other."""
    assert scan(["xab"], ["b", "ab"]) == ("x", "ab")


def test_without_stop_strings_text_passes_at_once():
    """Nothing is held."""
    assert StopScanner([]).feed("abc") == ("abc", "")
