"""Secrets of one Parley: three keys in files of their own, and one-time tokens for the chat page.

A secret is in a file of mode 0600 and nowhere else: not in arguments, environments or logs.
"""

import hashlib
import os
import secrets
import time
from pathlib import Path

from stack.errors import StackError
from stack.home import Home, check_private

KEY_BYTES = 32
API_KEY_PREFIX = "sk-parley-"
LOGIN_TOKEN_SECONDS_MAX = 24 * 3600


def ensure(home: Home) -> None:
    """Makes the keys that are missing; refuses those that others can read. Safe to repeat."""
    for path, prefix in ((home.api_key, API_KEY_PREFIX), (home.page_key, ""), (home.mesh_key, "")):
        if not path.exists():
            write_private(path, f"{prefix}{secrets.token_urlsafe(KEY_BYTES)}\n")
        read(path)


def read(path: Path) -> str:
    """The secret in `path`. Raises StackError when it is missing, empty or open to others."""
    try:
        check_private(path)
        value = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise StackError(f"{path} is missing.", mend="Make it with: ./parley up") from None
    if not value:
        raise StackError(f"{path} is empty.", mend=f"Make a new one with: rm {path} && ./parley up")
    return value


def write_private(path: Path, text: str) -> None:
    """Writes `text` to `path` with mode 0600, whole or not at all."""
    part = path.with_name(f"{path.name}.part-{os.getpid()}")
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    part.replace(path)


def new_login_token(home: Home) -> str:
    """Makes a token that opens the chat page once, within 24 hours; clears away expired ones."""
    expired_s = time.time() - LOGIN_TOKEN_SECONDS_MAX
    for path in home.login_tokens.iterdir():
        if path.stat().st_mtime < expired_s:
            path.unlink(missing_ok=True)
    token = secrets.token_urlsafe(KEY_BYTES)
    write_private(home.login_tokens / hashlib.sha256(token.encode()).hexdigest(), "")
    return token
