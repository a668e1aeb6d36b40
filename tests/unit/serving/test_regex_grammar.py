"""Regular expressions become rules, or are refused with a reason."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.serving.regex_grammar import (
    GrammarError,
    json_regex_rules,
    literal,
    regex_rules,
    regex_states,
)
from tests.unit.serving.test_automaton import accepts

REFUSED = {
    "(?=a)b": "assert is not supported",
    "(?!a)b": "assert not is not supported",
    r"(a)\1": "groupref is not supported",
    "(?P<x>a)(?P=x)": "groupref is not supported",
    "(?i)a": "flags are not supported",
    "(?i:a)b": "flags are not supported",
    "(?x) a": "flags are not supported",
    "a$b": "at end is not supported",
    "a^b": "at beginning is not supported",
    r"\ba": "at boundary is not supported",
    "(?>a)b": "atomic group is not supported",
    "a*+": "possessive repeat is not supported",
    "(((": "missing ), unterminated subpattern at position 2",
    "[b-a]": "bad character range b-a at position 1",
    r"[^\s\S]": "nothing matches it",
    r"\ud800": "it needs a character that cannot be written",
}


@pytest.mark.parametrize("pattern", REFUSED)
def test_what_no_grammar_can_say_is_refused(pattern):
    """With a reason that a caller understands."""
    with pytest.raises(GrammarError) as refusal:
        regex_rules(pattern, "root")
    assert str(refusal.value) == REFUSED[pattern]


def test_deep_nesting_is_refused():
    """It does not end the process."""
    with pytest.raises(GrammarError, match=r"nested too deep|too large"):
        regex_rules("(" * 2000 + "a" + ")" * 2000, "root")


@pytest.mark.parametrize(
    ("pattern", "matches", "others"),
    [
        ("^a$|^b$", ["a", "b"], ["", "ab"]),
        (r"\Aa\Z", ["a"], []),
        (r"\d", ["7"], ["٣", "a"]),
        (r"\w", ["_", "Z"], ["é", "-"]),
        (r"\W", ["-"], ["é", "a"]),
        (r"[^\W]", ["a"], ["é", "-"]),
        (r"[^\w]", ["-"], ["é", "a"]),
        (".", ["a", "é", "😀", "\r"], ["\n", ""]),
        (r"[\[a]", ["[", "a"], ["b"]),
        ("a{,2}", ["", "aa"], ["aaa"]),
        ("x{", ["x{"], ["x"]),
        ("(?:ab)??c", ["c", "abc"], ["ab"]),
        ("(?P<name>a)", ["a"], [""]),
    ],
)
def test_the_dialect_is_pythons_with_ascii_classes(pattern, matches, others):
    """What matches here matches in Python, and as JavaScript would have it."""
    states = regex_states(pattern)
    assert all(accepts(states, text) and re.fullmatch(pattern, text) for text in matches)
    assert not any(accepts(states, text) for text in others)


def test_rules_are_written_as_the_engine_reads_them():
    """One rule for each state, then one for each class of characters."""
    assert regex_rules("[a-c]é?", "r") == [
        "r ::= rc0 rx1",
        'rx1 ::= "" | rc1 rx2',
        'rx2 ::= ""',
        "rc0 ::= [a-c]",
        'rc1 ::= "\\u00e9"',
    ]


def test_a_doubtful_expression_is_read_without_a_warning():
    """What Python may read otherwise one day is nothing that our log should hold."""
    assert accepts(regex_states("[[a]"), "[")


def test_text_inside_a_json_string_is_escaped():
    """A quote, a backslash and a line feed are written as JSON wants them."""
    assert (
        json_regex_rules(r'["\\\n]', "r")[-1]
        == r'rc0 ::= ("\u005c\u0022" | "\u005c\u005c" | "\u005cn")'
    )


def test_a_character_that_no_json_string_holds_is_refused():
    """A NUL cannot come out, so it cannot be asked for."""
    with pytest.raises(GrammarError, match="cannot be written"):
        json_regex_rules("\\x00", "r")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_literals_hold_nothing_that_the_engine_would_read_otherwise(text):
    """Only letters, digits and escapes of fixed length stand between the quotes."""
    written = literal(text)
    body = re.fullmatch(r'"((?:[A-Za-z0-9]|\\u[0-9a-f]{4}|\\U[0-9a-f]{8})*)"', written)
    assert body
    assert body[1].encode().decode("unicode_escape") == text
