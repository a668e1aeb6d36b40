"""How the stack tells what it does. A `Narrator` is passed in; `Silent` says nothing."""

from typing import Protocol


class Narrator(Protocol):
    """Hears what happens, in order."""

    def doing(self, name: str, words: str) -> None:
        """`name` is busy with `words`; may be said many times."""

    def fraction(self, name: str, done: float, words: str) -> None:
        """`name` has done a fraction from 0 to 1 of `words`; may be said many times."""

    def done(self, name: str, words: str) -> None:
        """`name` has finished; said once."""

    def note(self, words: str) -> None:
        """Something worth knowing."""

    def close(self) -> None:
        """Nothing more will be said. Safe to repeat."""


class Silent:
    """Says nothing: for tests, benchmarks and `--json`."""

    def doing(self, name: str, words: str) -> None:
        """Says nothing."""

    def fraction(self, name: str, done: float, words: str) -> None:
        """Says nothing."""

    def done(self, name: str, words: str) -> None:
        """Says nothing."""

    def note(self, words: str) -> None:
        """Says nothing."""

    def close(self) -> None:
        """Says nothing."""
