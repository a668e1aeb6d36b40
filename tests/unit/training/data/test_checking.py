"""Claims about the check of a dataset."""

import io
import json
import subprocess
import sys
from hashlib import sha256

import pytest

from stack.environment.places import ROOT
from training.data import lines
from training.data.check import check
from training.errors import DataError

PAIR = '{"prompt": "Who?", "completion": "Me."}\n'
USER, ASSISTANT = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}
SYSTEM = {"role": "system", "content": "Be kind."}


def told(data: str | bytes) -> DataError:
    """The error that data are refused with."""
    with pytest.raises(DataError) as caught:
        check(io.BytesIO(data if isinstance(data, bytes) else data.encode()))
    return caught.value


def chat(*messages: dict[str, str]) -> str:
    """A line of that many messages."""
    return json.dumps({"messages": messages}) + "\n"


def test_each_kind_is_known_by_its_first_line() -> None:
    """Chats, pairs and plain text are told apart without asking."""
    for data, kind in ((PAIR * 2, "pairs"), (chat(USER, ASSISTANT) * 2, "messages")):
        assert check(io.BytesIO(data.encode())).kind == kind
    found = check(io.BytesIO(b"one\nand more\n\n\ntwo\n"))
    assert (found.kind, found.rows) == ("text", 2)


def test_the_digest_is_that_of_the_bytes() -> None:
    """sha256sum gives the same."""
    data = (PAIR * 3).encode()
    assert check(io.BytesIO(data)).digest == sha256(data).hexdigest()


def test_blank_lines_and_a_mark_of_byte_order_are_passed_over() -> None:
    """What editors leave in a file does no harm."""
    assert check(io.BytesIO(b"\xef\xbb\xbf" + (PAIR + "\n" + PAIR).encode())).rows == 2


@pytest.mark.parametrize(
    ("data", "reason", "words"),
    [
        ("", "DATASET_EMPTY", "empty"),
        ("\n  \n", "DATASET_EMPTY", "empty"),
        (PAIR, "DATASET_TOO_SMALL", "one row"),
        ("only this\n", "DATASET_TOO_SMALL", "one passage"),
        (PAIR + "{oh\n", "DATASET_INVALID", "line 2 is not JSON: "),
        (PAIR + "[1]\n", "DATASET_INVALID", "line 2 is not a JSON object"),
        (PAIR + '{"prompt": NaN}\n', "DATASET_INVALID", "NaN is no JSON number"),
        (PAIR + "[" * 100_000 + "\n", "DATASET_INVALID", "line 2 is nested too deeply"),
        (PAIR + '{"prompt": "Who?"}\n', "DATASET_INVALID", "`completion` is not a text"),
        (PAIR + '{"prompt": " ", "completion": "x"}\n', "DATASET_INVALID", "`prompt` is empty"),
        (PAIR + '{"question": "x"}\n', "DATASET_INVALID", "neither `messages` nor `prompt`"),
        (PAIR + chat(USER, ASSISTANT), "DATASET_INVALID", "line 2 has neither"),
        (chat(USER), "DATASET_INVALID", "line 1 does not end with the assistant"),
        (chat(), "DATASET_INVALID", "no list of `messages`"),
        (chat(SYSTEM), "DATASET_INVALID", "only a system message"),
        (chat(USER, USER, ASSISTANT), "DATASET_INVALID", "message 2 is from the user, out of turn"),
        (chat(SYSTEM, ASSISTANT), "DATASET_INVALID", "message 2 is from the assistant"),
        (chat({"role": "tool", "content": "x"}), "DATASET_INVALID", "has the role 'tool'"),
        (PAIR + '{"prompt": "\\ud800", "completion": "x"}\n', "DATASET_INVALID", "surrogate"),
        (PAIR.encode() + b'{"prompt": "\xff"}\n', "DATASET_NOT_UTF8", "line 2 is not UTF-8"),
    ],
)
def test_bad_data_are_refused_with_the_line(data: str | bytes, reason: str, words: str) -> None:
    """Each mistake has words of its own, which name the line."""
    error = told(data)
    assert error.reason == reason
    assert words in error.message


class Endless(io.RawIOBase):
    """A line without an end, which counts what is read of it."""

    def __init__(self) -> None:
        self.read_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        buffer[:] = b"a" * len(buffer)
        self.read_bytes += len(buffer)
        return len(buffer)


def test_a_line_that_is_too_long_is_found_without_reading_it() -> None:
    """A gigabyte in one line costs a megabyte."""
    stream = Endless()
    with pytest.raises(DataError) as caught:
        check(io.BufferedReader(stream))
    assert caught.value.reason == "DATASET_LINE_TOO_LONG"
    assert stream.read_bytes < lines.LINE_BYTES_MAX + (1 << 20)


def test_data_that_are_too_large_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound on bytes holds while they are read."""
    monkeypatch.setattr(lines, "BYTES_MAX", 100)
    assert told(PAIR * 10).reason == "DATASET_TOO_LARGE"


def test_the_command_prints_one_line_of_json() -> None:
    """Whoever runs it reads what the data are, or why they are refused."""

    def run(data: str) -> tuple[int, dict[str, object]]:
        command = [sys.executable, "-m", "training.check_data", "-"]
        done = subprocess.run(command, cwd=ROOT, input=data, capture_output=True, text=True)
        return done.returncode, json.loads(done.stdout)

    status, found = run(PAIR * 2)
    assert (status, found["rows"], found["kind"]) == (0, 2, "pairs")
    status, found = run(PAIR + "oh\n")
    assert (status, found["reason"]) == (1, "DATASET_INVALID")


def test_the_command_loads_no_library() -> None:
    """It is run at every submission, so it must start at once."""
    code = "import sys, training.check_data as c; print([m for m in sys.modules if '.' not in m])"
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not {"torch", "transformers", "numpy", "pydantic", "grpc", "minio"} & set(
        found.strip("[]\n").replace("'", "").split(", ")
    )
