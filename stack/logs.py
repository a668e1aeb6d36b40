"""Reads the services' logs: the last lines, new lines as they come, and those that tell most."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

TAIL_BYTES_MAX = 256 << 10
TELLING_LINES = 8
LINE_CHARS_MAX = 240
POLL_S = 0.2


def tail(path: Path, count: int) -> list[str]:
    """The last `count` lines of a log; none when there is no log. Reads at most 256 KiB."""
    if count <= 0 or not path.exists():
        return []
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL_BYTES_MAX))
        text = file.read().decode(errors="replace")
    return text.splitlines()[-count:]


def telling_lines(path: Path) -> list[str]:
    """The few last lines that say why a service ended, with JSON lines put into words."""
    words = [in_words(line) for line in tail(path, 40) if line.strip()]
    return words[-TELLING_LINES:] or ["(its log is empty)"]


def in_words(line: str) -> str:
    """A JSON log line as "level event name=value"; any other line as it is. Cut at 240."""
    try:
        values = json.loads(line)
        event = values.pop("event")
    except (ValueError, KeyError, AttributeError, TypeError):
        return line[:LINE_CHARS_MAX]
    level = values.pop("level", "info")
    values.pop("timestamp", None)
    rest = " ".join(f"{name}={value}" for name, value in values.items())
    return f"{level} {event} {rest}".rstrip()[:LINE_CHARS_MAX]


def follow(paths: dict[str, Path], count: int) -> Iterator[tuple[str, str]]:
    """Yields (service, line): the last `count` of each log, then new ones for ever.

    Goes on into the new file when a log is rotated.
    """
    readers = {name: _Reader(path) for name, path in paths.items()}
    for name, path in paths.items():
        yield from ((name, line) for line in tail(path, count))
    try:
        yield from _new_lines(readers)
    finally:
        for reader in readers.values():
            reader.close()


def _new_lines(readers: dict[str, "_Reader"]) -> Iterator[tuple[str, str]]:
    while True:
        new = [(name, line) for name, reader in readers.items() for line in reader.lines()]
        yield from new
        if not new:
            time.sleep(POLL_S)


class _Reader:
    """Reads whole lines from the end of a file on, across rotation."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rest = ""
        self._file = self._open()
        if self._file:
            self._file.seek(0, 2)

    def lines(self) -> list[str]:
        """Lines that came since the last call."""
        text = self._rest + (self._file.read() if self._file else "")
        if self._rotated():
            self.close()
            self._file = self._open()
            text += self._file.read() if self._file else ""
        *lines, self._rest = text.split("\n")
        return lines

    def close(self) -> None:
        """Lets go of the file. Safe to repeat."""
        if self._file:
            self._file.close()

    def _open(self) -> TextIO | None:
        try:
            return self._path.open(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return None

    def _rotated(self) -> bool:
        if not self._path.exists():
            return False
        if self._file is None:
            return True
        found, held = self._path.stat(), Path(f"/proc/self/fd/{self._file.fileno()}").stat()
        return found.st_ino != held.st_ino or found.st_size < self._file.tell()
