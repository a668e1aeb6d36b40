"""How the command line speaks: data to stdout, talk to stderr; colour and motion on terminals only.

Knows no service; what happens is told to it through `progress.Narrator`.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from stack.errors import StackError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID
    from rich.status import Status

NAME_WIDTH = 15
QUARTER = 0.25
# What could command a terminal: all of C0 but tab and newline, delete, and C1.
CONTROL = {code: None for code in [*range(32), *range(127, 160)] if chr(code) not in "\t\n"}

out = Console(highlight=False, soft_wrap=True)
talk = Console(stderr=True, highlight=False, soft_wrap=True)


def print_json(value: dict[str, Any] | list[Any]) -> None:
    """Data for programs: JSON to stdout, nothing around it."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def say(text: str) -> None:
    """Data for people that others wrote: a line to stdout that commands no terminal."""
    out.print(text.translate(CONTROL), markup=False)


def print_rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows in aligned columns to stdout, below their head."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(row: Sequence[str]) -> str:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        return escape("  ".join(cells).rstrip().translate(CONTROL))

    out.print(f"[dim]{line(head)}[/]")
    for row in rows:
        out.print(line(row))


def show_error(error: StackError) -> None:
    """What happened, the lines that show it, and what to do."""
    talk.print(f"[bold red]parley:[/] {escape(error.what)}")
    for line in error.evidence:
        talk.print(f"    [dim]|[/] {escape(line)}")
    for line in error.mend.splitlines():
        talk.print(f"  {escape(line)}")


class Teller:
    """Tells of start and stop on stderr: live on a terminal, plain finished lines elsewhere."""

    def __init__(self) -> None:
        self._status: Status | None = None
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._told: float | None = None

    def doing(self, name: str, words: str) -> None:
        """Shows what `name` is at, on a terminal."""
        if not talk.is_terminal:
            return
        line = f"{escape(name):<{NAME_WIDTH}} {escape(words)}"
        if self._status is None:
            self._status = talk.status(line, spinner="dots")
            self._status.start()
        self._status.update(line)

    def fraction(self, name: str, done: float, words: str) -> None:
        """A bar on a terminal; elsewhere a line at once, and at each quarter."""
        if talk.is_terminal:
            if self._bar is None or self._task is None:
                self._bar, self._task = self._new_bar(name)
            self._bar.update(self._task, completed=done, words=words)
        elif self._told is None or self._told + QUARTER <= done < 1:
            self._told = done
            talk.print(f"  {escape(name):<{NAME_WIDTH}} {done:4.0%}  {escape(words)}")

    def done(self, name: str, words: str) -> None:
        """One finished line."""
        self.close()
        self._told = None
        talk.print(f"  {escape(name):<{NAME_WIDTH}} {escape(words)}")

    def note(self, words: str) -> None:
        """One line by itself."""
        self.close()
        talk.print(f"  {escape(words)}")

    def close(self) -> None:
        """Ends what moves on the terminal. Safe to repeat."""
        if self._status:
            self._status.stop()
            self._status = None
        if self._bar:
            self._bar.stop()
            self._bar = None

    def _new_bar(self, name: str) -> "tuple[Progress, TaskID]":
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        self.close()
        bar = Progress(
            TextColumn(f"  {escape(name):<{NAME_WIDTH}}"),
            BarColumn(24),
            TaskProgressColumn(),
            TextColumn("{task.fields[words]}", markup=False),
            console=talk,
            transient=True,
        )
        bar.start()
        return bar, bar.add_task(name, total=1.0, words="")


def ago(seconds: float) -> str:
    """A span of time for people: "42 s", "3 min", "5 h", "2 days"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 86400:.0f} days"


def tilde(path: Path) -> str:
    """A path as people write it: with ~ for their own folder."""
    mine = Path.home()
    return f"~/{path.relative_to(mine)}" if path.is_relative_to(mine) else str(path)
