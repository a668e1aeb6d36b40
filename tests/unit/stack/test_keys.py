"""Secrets: made once, private, whole."""

import hashlib
import os
import time

import pytest

from stack import keys
from stack.errors import StackError


def mode(path):
    """Permission bits of a file."""
    return path.stat().st_mode & 0o777


def test_keys_are_for_their_owner_alone(home):
    """Whatever the umask, nobody else can read a key."""
    before = os.umask(0)
    try:
        keys.ensure(home)
    finally:
        os.umask(before)
    assert {mode(home.api_key), mode(home.page_key), mode(home.mesh_key)} == {0o600}
    assert mode(home.secrets) == 0o700


def test_keys_are_made_once_and_differ(home):
    """A second start keeps the keys that clients hold."""
    keys.ensure(home)
    first = [keys.read(path) for path in (home.api_key, home.page_key, home.mesh_key)]
    keys.ensure(home)
    assert [keys.read(path) for path in (home.api_key, home.page_key, home.mesh_key)] == first
    assert len(set(first)) == 3
    assert first[0].startswith("sk-parley-")


@pytest.mark.parametrize("loose", [0o640, 0o604, 0o660])
def test_a_key_that_others_can_read_is_refused_with_the_mend(home, loose):
    """A loosened key ends the start, and the message holds the command that closes it."""
    keys.ensure(home)
    home.api_key.chmod(loose)
    with pytest.raises(StackError) as failure:
        keys.ensure(home)
    assert f"chmod 600 {home.api_key}" in failure.value.mend


def test_an_empty_key_is_refused_with_the_mend(home):
    """A key that lost its content is not taken for a key."""
    keys.ensure(home)
    home.mesh_key.write_text("")
    with pytest.raises(StackError, match="is empty"):
        keys.ensure(home)


def test_a_login_token_is_kept_as_a_hash_only(home):
    """Who reads the folder cannot sign in by it."""
    token = keys.new_login_token(home)
    (file,) = home.login_tokens.iterdir()
    assert file.name == hashlib.sha256(token.encode()).hexdigest()
    assert file.read_text() == ""
    assert mode(file) == 0o600


def test_expired_login_tokens_are_cleared_away(home):
    """The folder does not grow for ever."""
    keys.new_login_token(home)
    (old,) = home.login_tokens.iterdir()
    yesterday = time.time() - keys.LOGIN_TOKEN_SECONDS_MAX - 1
    os.utime(old, (yesterday, yesterday))
    keys.new_login_token(home)
    assert not old.exists()
    assert len(list(home.login_tokens.iterdir())) == 1
