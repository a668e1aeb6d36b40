"""Claims about what the command line says where there is no terminal."""

from io import StringIO

import pytest
from rich.console import Console

from stack import words


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> StringIO:
    paper = StringIO()
    monkeypatch.setattr(words, "talk", Console(file=paper, highlight=False, soft_wrap=True))
    return paper


def test_long_work_speaks_at_once_and_at_each_quarter(said: StringIO) -> None:
    """A log shows from the first moment what goes on, and is not flooded later."""
    teller = words.Teller()
    for percent in range(101):
        teller.fraction("starter model", percent / 100, f"at {percent}")
    teller.done("starter model", "made")
    assert said.getvalue().splitlines() == [
        "  starter model     0%  at 0",
        "  starter model    25%  at 25",
        "  starter model    50%  at 50",
        "  starter model    75%  at 75",
        "  starter model   made",
    ]


def test_the_next_work_speaks_at_once_too(said: StringIO) -> None:
    """What was said of one thing keeps nothing from being said of the next."""
    teller = words.Teller()
    for name in ("first", "second"):
        teller.fraction(name, 0.5, "going on")
        teller.done(name, "done")
    assert said.getvalue().count("going on") == 2
