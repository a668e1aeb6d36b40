"""What the checker makes of histories in which just one thing is wrong."""

import dataclasses
from typing import Any

import pytest

from bench.chaos import history
from bench.chaos.checker import BROKEN, GAP, OTHER, REPEAT, Report, compare, differ, examine
from bench.chaos.history import History, Noticed, Rotation, Run, Struck, Told

WORDS = "the quick brown fox jumps over the lazy dog"
RUN = Run(7, 3, 32, ("kill",), 60.0, 1e9, 20.0, "0.1.0", "a machine")
RIGHT = Told(
    -1, 5, "greedy", 0.0, 1.0, 0.1, (WORDS,), ("length",), (), 1, 9, 0, 0.02, 0.5, "", True
)


def told(sent_s: float = 9.0, **changed: Any) -> Told:
    """A right stream of four seconds in the disturbed part."""
    changed = {"client": 0, "sent_s": sent_s, "ended_s": sent_s + 4.0, **changed}
    return dataclasses.replace(RIGHT, **changed)


def struck(fault: str = "kill", at_s: float = 10.0, **changed: Any) -> Struck:
    """A fault that was over after three seconds."""
    made = Struck(0, fault, "serving-1", at_s, at_s, at_s + 3.0)
    return dataclasses.replace(made, **changed)


def report(*records: history.Record) -> Report:
    """What a history of these says, beside the undisturbed answer."""
    found = History(RUN, [RIGHT])
    for record in records:
        found.add(record)
    return examine(found)


def test_a_migrated_stream_that_is_right_holds():
    """A kill under a stream that went on unharmed is counted, and nothing is complained of."""
    moved = told(migrations=1, stall_s=0.4, stall_at_s=10.1)
    seen = report(moved, struck(), Noticed(10.05, "UNAVAILABLE"), Rotation(10.6, 2))
    assert seen.holds
    assert (seen.streams, seen.migrated, seen.migrations, seen.tokens) == (1, 1, 1, 9)
    assert seen.stall.longest_ms == 400
    (one,) = seen.faults
    assert (one.fault, one.blows, one.migrated) == ("kill", 1, 1)
    assert (one.noticed_s, one.out_s, one.back_s) == (0.05, 0.6, 3.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"error": "503: no replica"},
        {"done": False},
        {"finishes": ("",)},
        {"finishes": (), "texts": ()},
    ],
    ids=["error", "no [DONE]", "no finish", "nothing"],
)
def test_a_stream_without_its_end_is_broken(wrong: dict):
    """An error frame, a missing [DONE], a missing finish: each breaks a promise."""
    seen = report(told(**wrong), struck())
    assert (seen.broken, seen.holds) == (1, False)


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"texts": (WORDS.replace("brown ", ""),)}, GAP),
        ({"texts": (WORDS[:-3],)}, GAP),
        ({"texts": (WORDS.replace("brown ", "brown brown "),)}, REPEAT),
        ({"texts": (WORDS + "dog",)}, REPEAT),
        ({"texts": (WORDS.replace("brown", "white"),)}, OTHER),
        ({"texts": (WORDS, WORDS), "finishes": ("stop", "stop")}, OTHER),
        ({"usage": 10}, OTHER),
        ({"usage": None}, OTHER),
        ({"finishes": ("stop",)}, OTHER),
        ({"finishes": ("lengthlength",)}, OTHER),
        ({"tokens": ("the",)}, OTHER),
        ({"ids": 2}, OTHER),
        ({"error": "gone"}, BROKEN),
    ],
)
def test_each_difference_has_its_name(wrong: dict, what: str):
    """A gap, a repeat and another answer are told apart."""
    assert compare(told(**wrong), RIGHT) == what


def test_every_piece_is_missed_and_every_repeat_is_heard():
    """Wherever the piece lies, and though the letters around it be alike."""
    for text in (WORDS, "abababab", "aaaa", "xaaay"):
        for begin in range(len(text)):
            for end in range(begin + 1, len(text) + 1):
                assert differ(text[:begin] + text[end:], text) == GAP
                assert differ(text[:end] + text[begin:], text) == REPEAT
        assert differ(text, text) == ""


def test_a_question_without_an_undisturbed_answer_proves_nothing():
    """Such a stream is not called right."""
    assert compare(told(), None) == OTHER


def test_what_envoy_takes_along_is_excused_and_counted():
    """A client whose own connection died cannot have its stream; one that ran later must."""
    cut = told(error="reset", done=False)
    assert (report(cut, struck("envoy")).excused, report(cut, struck("envoy")).broken) == (1, 0)
    later = told(30.0, error="reset", done=False)
    assert report(later, struck("envoy")).broken == 1
    other = told(texts=("not that",))
    assert report(other, struck("envoy")).different == 1


def test_a_drain_spares_streams_that_are_shorter():
    """A migration under SIGTERM alone is one too many, unless the stream outlasted the drain."""
    moved = told(migrations=1)
    assert report(moved, struck("term")).unwanted == 1
    assert not report(moved, struck("term")).holds
    assert report(told(migrations=1, ended_s=40.0), struck("term")).holds
    both = report(moved, struck("term"), struck("kill", 10.5, number=1))
    assert both.unwanted == 0


def test_a_silent_replica_must_be_noticed_in_time():
    """Migrations that silence caused are timed from the blow."""
    frozen = struck("stop", lifted_s=22.0, well_s=23.0)
    assert report(told(), frozen, Noticed(14.9, "REPLICA_SILENT")).holds
    late = report(told(), frozen, Noticed(17.0, "REPLICA_SILENT"))
    assert late.faults[0].silent_s == 7.0
    assert not late.holds


def test_a_lost_replica_must_not_cost_long():
    """Five seconds are for silence; a killed replica is known at once."""
    moved = told(migrations=1, ended_s=20.0, stall_s=5.2, stall_at_s=10.1)
    assert not report(moved, struck("kill")).holds
    assert report(moved, struck("stop", lifted_s=22.0, well_s=23.0)).holds


@pytest.mark.parametrize("well_s", [None, 75.0])
def test_a_stack_must_recover(well_s: float | None):
    """Within a minute, without a person."""
    assert not report(told(), struck(well_s=well_s)).holds


def test_a_run_without_streams_proves_nothing():
    """No stream, no promise kept."""
    assert not report(struck()).holds


def test_a_wait_belongs_to_the_fault_before_it():
    """Two faults under one stream: the longest wait is the first one's."""
    moved = told(migrations=1, ended_s=25.0, stall_s=0.5, stall_at_s=10.2)
    seen = report(moved, struck(), struck("engine", 20.0, number=1))
    assert {one.fault: one.migrated for one in seen.faults} == {"kill": 1, "engine": 0}


def test_a_history_can_be_read_again():
    """What was written is what is read; a line that was cut off at the end is left out."""
    records = [told(), struck(), Noticed(10.2, "UNAVAILABLE"), Rotation(10.5, 2)]
    lines = [history.to_line(record) for record in (RUN, RIGHT, *records)]
    read = history.read([*lines, '{"record": "told", "cli'])
    assert read == History(RUN, [RIGHT, records[0]], [records[1]], [records[2]], [records[3]])


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["no JSON\n"],
        ['{"record": "weather"}\n'],
        [history.to_line(RIGHT)],
        [history.to_line(RUN), history.to_line(RUN)],
        [history.to_line(RUN), '{"record": "told"}\n'],
    ],
    ids=["empty", "words", "unknown", "no run", "two runs", "fields missing"],
)
def test_what_is_no_history_is_refused(lines: list[str]):
    """With the line that is wrong."""
    with pytest.raises(ValueError, match=r"line \d|no history"):
        history.read(lines)
