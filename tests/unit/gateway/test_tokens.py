"""One-time tokens."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from gateway.tokens import TOKEN_LIFE_S, consume


def _make(folder: Path, token: str, age_s: float = 0) -> Path:
    path = folder / hashlib.sha256(token.encode()).hexdigest()
    path.touch(mode=0o600)
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def test_token_works_once(tmp_path: Path) -> None:
    """Its use takes it away."""
    path = _make(tmp_path, "good")
    assert consume(tmp_path, "good")
    assert not path.exists()
    assert not consume(tmp_path, "good")


def test_token_of_yesterday_does_not_work(tmp_path: Path) -> None:
    """After 24 h it is only swept away."""
    path = _make(tmp_path, "old", TOKEN_LIFE_S + 60)
    assert not consume(tmp_path, "old")
    assert not path.exists()


@pytest.mark.parametrize("token", ["", "other", "../good", "\0", "\ud800", "x" * 1000])
def test_nothing_else_works(tmp_path: Path, token: str) -> None:
    """Nor does it touch the token that is there."""
    path = _make(tmp_path, "good")
    assert not consume(tmp_path, token)
    assert path.exists()
