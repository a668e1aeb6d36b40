"""Reading logs."""

import json

from stack import logs


def test_tail_gives_the_last_lines(tmp_path):
    """As many as asked for, in order."""
    log = tmp_path / "a.log"
    log.write_text("".join(f"{number}\n" for number in range(100)))
    assert logs.tail(log, 3) == ["97", "98", "99"]


def test_tail_of_a_log_that_is_not_there_is_empty(tmp_path):
    """A service that never ran has said nothing."""
    assert logs.tail(tmp_path / "none.log", 3) == []


def test_a_json_line_is_put_into_words():
    """People see the event first, machines' fields after it."""
    line = json.dumps({"event": "listening", "level": "info", "timestamp": "x", "address": "a"})
    assert logs.in_words(line) == "info listening address=a"


def test_any_other_line_stays_as_it_is():
    """Tracebacks and other programs' words are not touched."""
    assert logs.in_words("[1, 2]") == "[1, 2]"
    assert logs.in_words("ValueError: no") == "ValueError: no"


def test_follow_gives_new_lines_and_goes_on_after_rotation(tmp_path):
    """A rotated log is followed into its new file, without a gap."""
    log = tmp_path / "a.log"
    log.write_text("old\nlast\n")
    lines = logs.follow({"a": log}, 1)
    assert next(lines) == ("a", "last")
    with log.open("a") as file:
        file.write("new\n")
        file.flush()
        # The generator opens its readers before it first waits: at the line above.
        assert next(lines) == ("a", "new")
        file.write("before rotation\n")
    log.rename(tmp_path / "a.log.1")
    log.write_text("after rotation\n")
    assert [next(lines), next(lines)] == [("a", "before rotation"), ("a", "after rotation")]
    lines.close()


def test_half_a_line_waits_for_its_end(tmp_path):
    """A line is given when it is whole."""
    log = tmp_path / "a.log"
    log.write_text("start\n")
    lines = logs.follow({"a": log}, 1)
    next(lines)
    with log.open("a") as file:
        file.write("whole\nha")
        file.flush()
        assert next(lines) == ("a", "whole")
        file.write("lf\n")
    assert next(lines) == ("a", "half")
    lines.close()
